"""nerfstudio, instant-ngp, Blender and NRHints: `transforms*.json`, and our own capture folder.

NRHints adds pl_pos, pl_intensity and file_ext to frames and camera_intrinsics (cx, cy, fx, fy) to
the file; every photo, test photos too, has its own point light. Shiny Blender has r_N_normal.png
(world, 0.5 n + 0.5) and r_N_alpha.png beside r_N.png; its r_N_disp.tiff (disparity) is not used.
NeRF-synthetic's r_N_normal_0001.png are clipped at 0 and its r_N_depth_0001.png are mapped to 8
bits for the eye: neither can be truth, and they are left out. Glossy-Synthetic as converted for
Gaussian methods (rgb/N.png) is Blender's layout.

Sources: docs.nerf.studio "Data conventions"; Mildenhall et al. 2020 (transforms_{train,test}.json);
Zeng et al. 2023 (NRHints, data/data_parser.py); Verbin et al. 2022 and google-research/multinerf
(internal/datasets.py). Extra keys of our own are in `transforms_write`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from relight3d.capture.fields import number, plain_name, records, table, text, texts, vector
from relight3d.capture.intrinsics import frame_intrinsics
from relight3d.capture.points_ply import read_points
from relight3d.capture.poses import MAX_COORDINATE, checked_rigid, from_opengl
from relight3d.capture.source import Lens, Source
from relight3d.core.errors import CaptureError
from relight3d.core.types import PointLight
from relight3d.core.views import (
    SHARED_ENVIRONMENT,
    Capture,
    ColorSpace,
    Similarity,
    Split,
    View,
    ViewLight,
)
from relight3d.files.images import SUFFIXES, image_info
from relight3d.files.safety import read_json, resolve_inside

FORMAT_KEY = "relight3d_capture"
FORMAT_VERSION = 1
MAX_INTENSITY = 1e24
"""Of a point light, in W/sr: what 1 W/m^2 at `MAX_COORDINATE` takes."""
_SPLIT_FILES = {"train": "transforms_train.json", "test": "transforms_test.json"}
_MAPS = ("albedo", "normal", "roughness", "metallic")


def transforms_files(root: Path) -> dict[Split | None, Path]:
    """The files that describe the folder, by split; None stands for a file of all views."""
    found: dict[Split | None, Path] = {
        cast(Split, split): root / name
        for split, name in _SPLIT_FILES.items()
        if (root / name).is_file()
    }
    validation = root / "transforms_val.json"
    if "train" in found:
        if "test" not in found and validation.is_file():
            found["test"] = validation
        return found
    return {None: root / "transforms.json"} if (root / "transforms.json").is_file() else {}


def read_transforms(root: Path, files: Mapping[Split | None, Path]) -> Source:
    """Read the files of `transforms_files`.

    Raises:
        CaptureError: A field, pose or picture size that cannot be used; names file and frame.
        FileFormatError: A file that cannot be read, or a path that leaves the folder.
    """
    views: list[View] = []
    lenses: dict[Path, Lens] = {}
    content: Mapping = {}
    for split, path in files.items():
        content = read_json(path)
        where = f"{path}"
        splits = _named_splits(content, where)
        for index, frame in enumerate(records(content, "frames", where)):
            view, lens = _view(root, content, frame, f"{path}, frame {index}", split, splits)
            if view is None:
                continue
            views.append(view)
            if lens is not None:
                lenses[view.image_path] = lens
    own = FORMAT_KEY in content
    if own:
        _check_version(content, root)
    named = text(content, "ply_file_path", str(root))
    xyz, rgb = (None, None) if named is None else _points(root, named)
    capture = Capture(
        root=root,
        views=tuple(views),
        kind="scene" if content.get("kind") == "scene" else "object",
        points=xyz,
        points_rgb=rgb,
        capture_from_source=_similarity(content, root) if own else Similarity(),
        environments=_environments(root, content),
        environment_turns=_turns(root, content),
    )
    return Source(capture, lenses, layout="transforms.json", is_normalised=own)


def _view(
    root: Path, content: Mapping, frame: Mapping, where: str, split: Split | None,
    splits: Mapping[str, str],
) -> tuple[View | None, Lens | None]:  # fmt: skip
    """One frame; (None, None) for a frame of the validation split beside a test split."""
    named = text(frame, "file_path", where)
    if not named:
        raise CaptureError(f"{where}: 'file_path' is missing. Restore the file.")
    which = split or splits.get(_plain(named)) or text(frame, "split", where)
    if which is None:
        which = "train"
    if which == "val":
        if "test" in splits.values():
            return None, None
        which = "test"
    if which not in ("train", "test"):
        raise CaptureError(f"{where}: the split {which!r} is neither train, val nor test.")
    path = _picture(root, named, f"{where}, file_path", text(frame, "file_ext", where))
    info = image_info(path)
    lens, matrix = frame_intrinsics(
        {**content, **frame}, (info.width_px, info.height_px), where, path
    )
    if "transform_matrix" not in frame:
        raise CaptureError(f"{where}: 'transform_matrix' is missing, so the photo has no pose.")
    mask = text(frame, "mask_path", where)
    view = View(
        name=text(frame, "name", where) or _name(named, path),
        image_path=path,
        width_px=info.width_px,
        height_px=info.height_px,
        intrinsics=matrix,
        world_to_camera=from_opengl(frame["transform_matrix"], f"{where} ({named})"),
        split=cast(Split, which),
        mask_path=_alpha_beside(path) if mask is None else _mask(root, mask, where),
        color_space=info.color_space,
        light=_light(frame, where),
        exposure=number(frame, "exposure", where, default=None, low=1e-12, high=1e12),
        truth=_truth(root, path, frame, where),
        albedo_space=_albedo_space(frame, where),
    )
    return view, lens


def _albedo_space(frame: Mapping, where: str) -> ColorSpace:
    space = text(frame, "albedo_space", where, "linear")
    if space not in ("linear", "srgb"):
        raise CaptureError(f"{where}: 'albedo_space' is {space!r}, neither linear nor srgb.")
    return cast(ColorSpace, space)


def _plain(named: str) -> str:
    return named.replace("\\", "/").removeprefix("./")


def _name(named: str, path: Path) -> str:
    """Unique as the path is: 'images/a.png' becomes 'a', 'left/a.png' becomes 'left_a'."""
    parts = [part for part in Path(_plain(named)).with_suffix("").parts if part not in ("images",)]
    return "_".join(parts) or path.stem


def _picture(root: Path, named: str, where: str, suffix: str | None) -> Path:
    """The picture a frame names; Blender's leave the suffix out, NRHints' may tell it apart."""
    if suffix is not None and suffix.lower() not in SUFFIXES:
        raise CaptureError(
            f"{where}: the picture ends in {suffix[:20]!r} (file_ext); pictures that end in "
            f"{', '.join(SUFFIXES)} are read. Convert it."
        )
    path = resolve_inside(root, named + (suffix or ""), where)
    if path.suffix.lower() not in SUFFIXES:
        for known in SUFFIXES:
            candidate = resolve_inside(root, named + known, where)
            if candidate.is_file():
                return candidate
    if not path.is_file():
        raise CaptureError(
            f"{where}: the picture {path} does not exist. Restore it or remove the frame."
        )
    return path


def _alpha_beside(picture: Path) -> Path | None:
    """Shiny Blender's r_000_alpha.png, where the picture has no alpha of its own."""
    path = picture.with_name(f"{picture.stem}_alpha.png")
    return path if path.is_file() and not image_info(picture).has_alpha else None


def _mask(root: Path, named: str, where: str) -> Path:
    path = resolve_inside(root, named, f"{where}, mask_path")
    if not path.is_file():
        raise CaptureError(
            f"{where}: the mask {path} does not exist. Restore it, or mask_path out."
        )
    return path


def _named_splits(content: Mapping, where: str) -> dict[str, str]:
    """Split by path from {train,val,test}_filenames; test wins over val over train."""
    splits: dict[str, str] = {}
    for split in ("train", "val", "test"):
        splits.update({_plain(name): split for name in texts(content, f"{split}_filenames", where)})
    return splits


def _light(frame: Mapping, where: str) -> ViewLight:
    if "pl_pos" in frame:  # NRHints
        intensity = vector(frame, "pl_intensity", where) if "pl_intensity" in frame else (1.0,) * 3
        return ViewLight(None, 0.0, (_point(vector(frame, "pl_pos", where), intensity, where),))
    if "light" not in frame:
        return ViewLight()
    record = table(frame, "light", where)
    points = records(record, "points", where) if "points" in record else []
    named = None
    if record.get("environment", "") is not None:
        named = plain_name(text(record, "environment", where) or SHARED_ENVIRONMENT, where)
    return ViewLight(
        environment=named,
        rotation_rad=number(record, "rotation_rad", where, default=0.0, low=-1e3, high=1e3),
        points=tuple(
            _point(vector(p, "position", where), vector(p, "intensity_linear", where), where)
            for p in points
        ),
    )


def _point(position: tuple, intensity: tuple, where: str) -> PointLight:
    if min(intensity) < 0:
        raise CaptureError(f"{where}: a point light has the negative intensity {intensity}.")
    if max(map(abs, position)) > MAX_COORDINATE or max(intensity) > MAX_INTENSITY:
        raise CaptureError(
            f"{where}: a point light lies at {position} with the intensity {intensity}; up to "
            f"{MAX_COORDINATE:g} units away and {MAX_INTENSITY:g} W/sr are read. Mend the file."
        )
    return PointLight(position, intensity)


def _truth(root: Path, picture: Path, frame: Mapping, where: str) -> dict[str, Path]:
    """Maps for scoring: named by our own key, or beside the picture as r_000_albedo.png."""
    named = {
        str(key): resolve_inside(root, str(value), f"{where}, truth")
        for key, value in table(frame, "truth", where).items()
    }
    beside = {key: picture.with_name(f"{picture.stem}_{key}.png") for key in _MAPS}
    beside["depth"] = picture.with_name(f"{picture.stem}_depth.npy")
    for key, path in named.items():
        if not path.is_file():
            raise CaptureError(
                f"{where}, truth: the map {path} does not exist. Restore it, or take {key[:60]!r} "
                "out."
            )
    found = {key: path for key, path in beside.items() if path.is_file()} | named
    for path in found.values():
        resolve_inside(root, str(path.relative_to(Path(root).resolve())), f"{where}, truth")
    return found


def _environments(root: Path, content: Mapping) -> dict[str, Path]:
    """Environment maps that came with the capture, by the name of their light."""
    where = f"{root}, environments"
    named = table(content, "environments", str(root))
    found = {}
    for name in named:
        path = resolve_inside(root, text(named, name, where) or "", where)
        if not path.is_file():
            raise CaptureError(
                f"{where}: the environment map {path} does not exist. Restore it, or take "
                f"{name[:60]!r} out."
            )
        found[plain_name(name, where)] = path
    return found


def _turns(root: Path, content: Mapping) -> dict[str, np.ndarray]:
    """How the axes of environment maps lie to the capture's."""
    turns = table(content, "environment_turns", str(root))
    where = f"{root}, environment_turns"
    found = {}
    for key, turn in turns.items():
        name = plain_name(key, where)
        rows = turn if isinstance(turn, list) and len(turn) == 3 else []
        pose = [[*row, 0.0] if isinstance(row, list) else row for row in rows]
        found[name] = checked_rigid(pose, f"{where}, {name[:60]}")[:3, :3]
    return found


def _points(root: Path, named: str) -> tuple[np.ndarray, np.ndarray]:
    path = resolve_inside(root, named, "ply_file_path")
    if not path.is_file():
        raise CaptureError(
            f"{root}, ply_file_path: the point file {path} does not exist. Restore it, or take "
            "ply_file_path out."
        )
    return read_points(path)


def _check_version(content: Mapping, root: Path) -> None:
    version = content.get(FORMAT_KEY)
    if version != FORMAT_VERSION:
        raise CaptureError(
            f"The capture {root} is of format {str(version)[:20]!r}; this version reads "
            f"{FORMAT_VERSION}. Import it again from its source."
        )


def _similarity(content: Mapping, root: Path) -> Similarity:
    """x_capture = applied_scale * applied_transform @ x_source, as nerfstudio composes them."""
    where = f"{root / 'transforms.json'}, applied_transform"
    rigid = checked_rigid(content.get("applied_transform", np.eye(4)[:3].tolist()), where)
    scale = number(content, "applied_scale", where, default=1.0, low=1e-12, high=1e12)
    return Similarity(rigid[:3, :3], scale * rigid[:3, 3], scale)
