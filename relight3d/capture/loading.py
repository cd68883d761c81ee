"""Any posed capture on disk to one `Capture`, read where it is."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from relight3d.capture.checks import checked, detected_kind, held_out
from relight3d.capture.nero import is_nero, read_nero
from relight3d.capture.normalize import is_tame, taming, transformed
from relight3d.capture.openillumination import is_openillumination, read_openillumination
from relight3d.capture.reduced_photos import scene_of
from relight3d.capture.source import Source, files_in
from relight3d.capture.stanford_orb import is_stanford_orb, read_stanford_orb
from relight3d.capture.synthetic4relight import is_synthetic4relight, read_synthetic4relight
from relight3d.capture.tensoir import is_tensoir, read_tensoir
from relight3d.capture.transforms_json import read_transforms, transforms_files
from relight3d.core.errors import CaptureError
from relight3d.core.views import Capture
from relight3d.files.images import SUFFIXES

LOOKED_FOR = (
    "transforms.json or transforms_train.json (nerfstudio, instant-ngp, Blender, NeRF-synthetic, "
    "Shiny Blender, NRHints, Stanford-ORB, Synthetic4Relight, or a capture made by `relight3d "
    "import`)",
    "train_000/metadata.json (TensoIR-Synthetic)",
    "0-camera.pkl (Glossy-Synthetic)",
    "Lights/013/raw_undistorted and output/ (OpenIllumination)",
    "sparse/0/cameras.bin or .txt (COLMAP; Mip-NeRF 360, also by its images_2, images_4, images_8)",
)
_BENCHMARKS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Source]], ...] = (
    (is_synthetic4relight, read_synthetic4relight),
    (is_stanford_orb, read_stanford_orb),
    (is_tensoir, read_tensoir),
    (is_nero, read_nero),
    (is_openillumination, read_openillumination),
)
"""Asked before the plain `transforms*.json`, which some of them have too."""


def load(path: Path, hold_out: int = 0) -> Capture:
    """Read a capture whose photos have poses, without copying anything.

    The frame is kept; if its size or place is untame, a scale and a translation are applied and
    remembered in `capture_from_source`.

    Args:
        path: The folder, or the transforms file in it.
        hold_out: Every so many-th view is a test view, unless the capture brings test views.

    Raises:
        CaptureError: Not recognised, not posed, distorted, or unusable; names file and frame.
        FileFormatError: A file that cannot be read, or a path that leaves the folder.
    """
    source = recognise(path)
    if source is None:
        raise CaptureError(_unrecognised(path))
    if source.lenses:
        names = ", ".join(path.name for path in sorted(source.lenses)[:3])
        raise CaptureError(
            f"The photos of {path} are distorted by their lens ({names}, ...); a fit takes pinhole "
            f"photos. Undistort them first: relight3d import {path} NEW_CAPTURE"
        )
    capture = finished(source, hold_out)
    if source.is_normalised or is_tame(capture):
        return capture
    return transformed(capture, taming(capture))


def finished(source: Source, hold_out: int) -> Capture:
    """Split, kind and checks, for every source alike."""
    capture = checked(held_out(source.capture, hold_out))
    if source.is_normalised:
        return capture
    return dataclasses.replace(capture, kind=detected_kind(capture.views))


def recognise(path: Path) -> Source | None:
    """Read the layout the folder has; None if it is none of the posed ones."""
    if path.is_file() and path.suffix.lower() == ".json":
        return read_transforms(path.parent.resolve(), {None: path})
    if not path.is_dir():
        if path.exists():
            return None
        raise CaptureError(f"The capture {path} does not exist. Check the path.")
    root = path.resolve()
    for is_layout, read in _BENCHMARKS:
        if is_layout(root):
            return read(root)
    files = transforms_files(root)
    if files:
        return read_transforms(root, files)
    return _colmap(root)


def _colmap(root: Path) -> Source | None:
    """A model in the folder, or the model of the scene whose reduced photos the folder holds."""
    from relight3d.capture.colmap_model import model_folder, read_colmap

    folder, scene = model_folder(root), scene_of(root)
    if folder is None and scene is not None:
        folder = model_folder(scene)
        return None if folder is None else read_colmap(scene, folder, root)
    return None if folder is None else read_colmap(root, folder)


def _unrecognised(path: Path) -> str:
    photos = files_in(path, SUFFIXES) if path.is_dir() else []
    if path.is_dir() and not photos and (path / "images").is_dir():
        photos = files_in(path / "images", SUFFIXES)
    if photos or path.is_file():
        return (
            f"{path} holds {f'{len(photos)} photos' if photos else 'a file'} but no camera poses. "
            f"Pose them first: relight3d import {path} NEW_CAPTURE"
        )
    wanted = "; ".join(LOOKED_FOR)
    photos_too = f"photos ({', '.join(SUFFIXES)})"
    return f"{path} is not a capture. Looked for: {wanted}; {photos_too}. Found none."
