"""OpenIllumination's layout: one object under thirteen patterns of lights, or one light at a time.

    lighting_patterns/obj_01_egg/Lights/001..013/raw_undistorted/CA2.JPG ...
    lighting_patterns/obj_01_egg/output/{com_masks,obj_masks}/CA2.png
    lighting_patterns/obj_01_egg/output/transforms_{train,test}.json
    transforms_alignz_{train,test}.json     z up; in the object's folder, above it or in others/

`frames` is an object by camera. The angle of view is that of the whole picture, which is
`calib_imgw` pixels wide where it has not been reduced. The capture is the object's folder, whose
photos under pattern 013 are fitted as the authors do, or one Lights/NNN of it. The other lights are
the truth of the test views. Masks are those of object and stand (com_masks), which all photos show.
The positions of the lights (light_pos.npy) are given in the light stage's frame, which the poses do
not name: the lights stay unknown.
Source: Liu et al. 2023, arXiv:2309.07921, the data card, and the authors' code
(OpenIlluminationCapture, third_party/InvRender/code/datasets/openillum_dataset.py).
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from relight3d.capture.benchmark_views import blender_view, frame_path, required
from relight3d.capture.fields import plain_name, table
from relight3d.capture.source import Source, natural_key
from relight3d.core.errors import CaptureError
from relight3d.core.views import Capture, Split, View, ViewLight
from relight3d.files.safety import read_json, resolve_inside

_LIGHT = "013"
_PHOTOS = "raw_undistorted"
_MASKS = ("com_masks", "obj_masks")


def is_openillumination(path: Path) -> bool:
    """Whether the folder is an object, or one light of an object."""
    return _object_of(path) is not None


def read_openillumination(path: Path) -> Source:
    """Read one object under one light.

    Raises:
        CaptureError: Poses, a photo or a mask are missing, or a field cannot be used.
        FileFormatError: A file that cannot be read, or a path that leaves the folder.
    """
    root = _object_of(path)
    assert root is not None
    lights = sorted((p.name for p in _lights(root)), key=natural_key)
    light = path.name if path != root else _LIGHT if _LIGHT in lights else lights[-1]
    others = [name for name in lights if name != light]
    folder, stem = _poses(root)
    views: list[View] = []
    for split in ("train", "test"):
        file = folder / f"{stem}_{split}.json"
        if split == "test" and not file.is_file():
            continue
        for camera, frame in table(read_json(file), "frames", f"{file}").items():
            where = f"{file}, frame {camera[:60]!r}"
            if not isinstance(frame, Mapping):
                raise CaptureError(f"{where} is not an object {{...}}. Restore the file.")
            views.append(_view(root, frame, light, others if split == "test" else [], split, where))
    capture = Capture(root=root, views=tuple(views), kind="object")
    return Source(capture, layout=f"OpenIllumination, light {light}", z_up="alignz" in stem)


def _object_of(path: Path) -> Path | None:
    root = path.parent.parent if path.parent.name == "Lights" else path
    usable = (root / "output").is_dir() and any(True for _ in _lights(root))
    return root if usable and (path == root or (path / _PHOTOS).is_dir()) else None


def _lights(root: Path) -> list[Path]:
    folder = root / "Lights"
    return [p for p in folder.iterdir() if (p / _PHOTOS).is_dir()] if folder.is_dir() else []


def _poses(root: Path) -> tuple[Path, str]:
    """Where the poses lie and how their files begin, those that stand upright first."""
    above = root.parent
    for folder in (root, root / "output", above, above / "others", above.parent / "others"):
        if (folder / "transforms_alignz_train.json").is_file():
            return folder, "transforms_alignz"
    if not (root / "output" / "transforms_train.json").is_file():
        raise CaptureError(
            f"{root}: the poses are missing: output/transforms_train.json, or the data set's "
            f"transforms_alignz_train.json in {root} or {above}. Download them beside it."
        )
    return root / "output", "transforms"


def _view(
    root: Path, frame: Mapping, light: str, others: list[str], split: Split, where: str
) -> View:
    camera = plain_name(PurePosixPath(frame_path(frame, where)).name, where)
    photo = _photo(root, light, camera, where)
    if photo is None:
        raise CaptureError(
            f"{where}: the photo {root / 'Lights' / light / _PHOTOS / camera}.JPG does not exist. "
            "Restore it."
        )
    relit = {f"relit/{other}": _photo(root, other, camera, where) for other in others}
    folder = next((name for name in _MASKS if (root / "output" / name).is_dir()), _MASKS[0])
    return blender_view(
        frame, frame, photo, camera, where,
        split=split,
        mask_path=required(root, f"output/{folder}/{camera}.png", where),
        light=ViewLight(light),
        truth={name: path for name, path in relit.items() if path is not None},
    )  # fmt: skip


def _photo(root: Path, light: str, camera: str, where: str) -> Path | None:
    for suffix in (".JPG", ".jpg", ".png"):
        path = resolve_inside(root, f"Lights/{light}/{_PHOTOS}/{camera}{suffix}", where)
        if path.is_file():
            return path
    return None
