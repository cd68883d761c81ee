"""TensoIR-Synthetic's layout: one folder a camera, the light in the picture's name.

    train_000/ rgba_LIGHT_DEG.png metadata.json     (DEG, three digits: LIGHT turned that far)
    test_000/  rgba_LIGHT_DEG.png rgba_OTHER.png albedo.png normal.png ... metadata.json
    envmaps/LIGHT.hdr                               (optional, laid out as `conventions` says)

The authors' maps, Environment_Maps/high_res_envmaps_2k/LIGHT.hdr, are found in the folder or up to
two above it. Their middle column looks along +x, half a turn from `conventions`.
Source: Jin et al. 2023, arXiv:2304.12461, its data set and its code (get_light, light_rotation).
"""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np

from relight3d.capture.fields import number, whole_number
from relight3d.capture.poses import from_opengl
from relight3d.capture.source import MIDDLE_IS_X, Source, natural_key, pinhole
from relight3d.core.errors import CaptureError
from relight3d.core.views import SHARED_ENVIRONMENT, Capture, Split, View, ViewLight
from relight3d.files.images import image_info
from relight3d.files.safety import read_json, resolve_inside

_FOLDER = re.compile(r"(train|test|val)_?(\d+)")
_PICTURE = re.compile(r"rgba(?:_(.+?))?(?:_(\d{3}))?\.png")
_MAPS = ("albedo", "normal", "roughness", "metallic")
_MAP_FOLDERS = ("Environment_Maps/high_res_envmaps_2k", "Environment_Maps/high_res_envmaps_1k")


@dataclasses.dataclass(frozen=True)
class _Picture:
    path: Path
    environment: str
    rotation_deg: int | None


def is_tensoir(root: Path) -> bool:
    """Whether the folder has at least one camera folder of this layout."""
    return any((folder / "metadata.json").is_file() for folder in _folders(root, "train"))


def read_tensoir(root: Path) -> Source:
    """Read the layout. Test folders honour the official split; validation folders are unused.

    The authors' training folders hold every view under all lights, those of the test included
    (which have no DEG). As in their single-light protocol only LIGHT_000 is taken from such a
    folder; from any other, each picture gives a view. A test folder gives one view, under a light
    of the training pictures; the others are its truth.

    Raises:
        CaptureError: A folder without pictures or with unusable metadata.
        FileFormatError: A file that cannot be read.
    """
    folders = {split: _folders(root, split) for split in ("train", "test")}
    pictures = {folder: _pictures(folder) for group in folders.values() for folder in group}
    for folder in folders["train"]:
        pictures[folder] = _single_light(pictures[folder])
    lights = {p.environment for folder in folders["train"] for p in pictures[folder]}
    views = [
        _view(folder, picture, "train", several=len(pictures[folder]) > 1)
        for folder in folders["train"]
        for picture in pictures[folder]
    ]
    views += [_test_view(folder, pictures[folder], lights) for folder in folders["test"]]
    environments = {
        path.stem: resolve_inside(root, f"envmaps/{path.name}", "envmaps")
        for suffix in ("hdr", "exr")
        for path in sorted((root / "envmaps").glob(f"*.{suffix}"))
    }
    official = {} if environments else _official_maps(root)
    capture = Capture(
        root=root,
        views=tuple(views),
        kind="object",
        environments=environments | official,
        environment_turns=dict.fromkeys(official, MIDDLE_IS_X),
    )
    return Source(capture, layout="TensoIR-Synthetic folders (train_000/metadata.json ...)")


def _official_maps(root: Path) -> dict[str, Path]:
    """The authors' maps, the larger ones first."""
    for above in (root, *root.parents[:2]):
        for folder in _MAP_FOLDERS:
            found = sorted((above / folder).glob("*.hdr"))
            if found:
                return {p.stem: resolve_inside(above, f"{folder}/{p.name}", folder) for p in found}
    return {}


def _folders(root: Path, split: str) -> list[Path]:
    if not root.is_dir():
        return []
    matches = [(_FOLDER.fullmatch(path.name), path) for path in root.iterdir() if path.is_dir()]
    found = [path for match, path in matches if match and match[1] == split]
    return sorted(found, key=lambda path: natural_key(path.name))


def _pictures(folder: Path) -> list[_Picture]:
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        match = _PICTURE.fullmatch(path.name)
        if match:
            safe = resolve_inside(folder.parent, f"{folder.name}/{path.name}", str(folder))
            angle = int(match[2]) if match[2] else None
            found.append(_Picture(safe, match[1] or SHARED_ENVIRONMENT, angle))
    if not found:
        raise CaptureError(
            f"The folder {folder} has no picture rgba_LIGHT_DEG.png. Restore it or remove it."
        )
    return found


def _single_light(pictures: list[_Picture]) -> list[_Picture]:
    turned = [picture for picture in pictures if picture.rotation_deg is not None]
    if len(turned) == len(pictures):
        return pictures
    return [picture for picture in turned if picture.rotation_deg == 0] or pictures


def _test_view(folder: Path, pictures: list[_Picture], lights: set[str]) -> View:
    """The view under a training light, upright if possible; the rest is truth for relighting."""
    known = [picture for picture in pictures if picture.environment in lights]
    if not known:
        raise CaptureError(
            f"The test folder {folder} has no picture under a light of the training pictures "
            f"({', '.join(sorted(lights))}), so it cannot be scored. Remove it."
        )
    chosen = min(known, key=lambda picture: picture.rotation_deg or 0)
    view = _view(folder, chosen, "test", several=False)
    relit = {
        "relit/" + picture.path.stem.removeprefix("rgba_"): picture.path
        for picture in pictures
        if picture is not chosen
    }
    return dataclasses.replace(view, truth={**view.truth, **relit})


def _view(folder: Path, picture: _Picture, split: Split, several: bool) -> View:
    where = f"{folder / 'metadata.json'}"
    metadata = read_json(folder / "metadata.json")
    pose = _pose(metadata.get("cam_transform_mat"), where)
    info = image_info(picture.path)
    width = whole_number(metadata, "imw", where, default=info.width_px)
    height = whole_number(metadata, "imh", where, default=info.height_px)
    if (width, height) != (info.width_px, info.height_px):
        raise CaptureError(
            f"{picture.path} is {info.width_px} x {info.height_px} pixels, {where} says {width} x "
            f"{height} (imw, imh). Restore the picture or mend the metadata."
        )
    angle = number(metadata, "cam_angle_x", where, low=1e-4, high=math.pi - 1e-4)
    focal = 0.5 * width / math.tan(0.5 * angle)
    suffix = picture.path.stem.removeprefix("rgba") if several else ""
    return View(
        name=folder.name + suffix,
        image_path=picture.path,
        width_px=width,
        height_px=height,
        intrinsics=pinhole(focal, focal, width / 2, height / 2),
        world_to_camera=from_opengl(pose, f"{where}, cam_transform_mat"),
        split=split,
        light=ViewLight(picture.environment, math.radians(picture.rotation_deg or 0)),
        truth=_maps(folder),
    )


def _pose(text: object, where: str) -> np.ndarray:
    """Sixteen comma-separated numbers, row by row."""
    try:
        values = [float(part) for part in str(text).split(",")]
        return np.array(values).reshape(4, 4)
    except ValueError as error:
        raise CaptureError(
            f"{where}: cam_transform_mat is not 16 comma-separated numbers. Restore the file."
        ) from error


def _maps(folder: Path) -> dict[str, Path]:
    names = {name: f"{name}.png" for name in _MAPS} | {"depth": "depth.npy"}
    return {
        name: resolve_inside(folder.parent, f"{folder.name}/{file}", str(folder))
        for name, file in names.items()
        if (folder / file).is_file()
    }
