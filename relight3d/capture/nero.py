"""Glossy-Synthetic's own layout (NeRO): numbered photos, each with its camera as a Python pickle.

    N.png  N-camera.pkl  N-depth.png (or N-depth0001.exr)      N from 0

A camera file is a tuple of the 3 x 4 world-to-camera pose (OpenCV axes) and the 3 x 3 intrinsics,
read by `files.inert_pickle`, which never unpickles. Depth is stored as 15 units = white; the object
is where it is less than 14.5, which is the mask, whatever alpha a photo has. Depth itself
(encoded, not .npy) is no truth here. The split is that of synthetic_split_128.pkl (test, then
training numbers) in the folder or above it, else every eighth photo from the first is for testing,
as in the conversions that Gaussian methods use; such a conversion is read as Blender's layout.
Source: Liu et al. 2023, arXiv:2305.17398, dataset/database.py.
"""

from pathlib import Path

import numpy as np

from relight3d.capture.benchmark_views import optional, required
from relight3d.capture.poses import checked_rigid
from relight3d.capture.source import Source, natural_key, pinhole
from relight3d.core.errors import CaptureError
from relight3d.core.views import Capture, View
from relight3d.files.images import image_info
from relight3d.files.inert_pickle import read_inert_pickle
from relight3d.files.safety import resolve_inside

MASK_BELOW = 14.5 / 15
TEST_EVERY = 8
_DEPTHS = ("depth.png", "depth0001.exr")
_CAMERA = "-camera.pkl"
_SPLIT = "synthetic_split_128.pkl"


def is_nero(root: Path) -> bool:
    """Whether the folder has camera files of this layout."""
    return next(root.glob(f"*{_CAMERA}"), None) is not None


def read_nero(root: Path) -> Source:
    """Read the layout.

    Raises:
        CaptureError: A photo is missing, or a camera cannot be used.
        FileFormatError: A file that cannot be read, or a pickle that asks for more than numbers.
    """
    names = sorted((p.name.removesuffix(_CAMERA) for p in root.glob(f"*{_CAMERA}")),
                   key=natural_key)  # fmt: skip
    held_out = _held_out(root, names)
    views = [_view(root, name, name in held_out) for name in names]
    capture = Capture(root=root, views=tuple(views), kind="object")
    return Source(capture, layout="Glossy-Synthetic (NeRO)", z_up=False)


def _held_out(root: Path, names: list[str]) -> set[str]:
    for folder in (root, root.parent):
        path = resolve_inside(folder, _SPLIT, f"{folder}")
        if path.is_file():
            content = read_inert_pickle(path)
            if not isinstance(content, tuple | list) or len(content) != 2:
                raise CaptureError(
                    f"{path} is not a pair of test and training numbers. Restore it."
                )
            found = {str(name) for name in np.ravel(np.asarray(content[0])).tolist()}
            if not found & set(names):
                raise CaptureError(f"{path} names no photo of {root} for testing. Remove it.")
            return found
    return set(names[::TEST_EVERY])


def _view(root: Path, name: str, held_out: bool) -> View:
    where = f"{root / (name + _CAMERA)}"
    camera = read_inert_pickle(required(root, name + _CAMERA, where))
    if not isinstance(camera, tuple | list) or len(camera) != 2:
        raise CaptureError(f"{where} is not a pair of pose and intrinsics. Restore the file.")
    pose, intrinsics = camera
    photo = required(root, f"{name}.png", where)
    info = image_info(photo)
    depths = optional(root, {end: f"{name}-{end}" for end in _DEPTHS}, where)
    depth = next(iter(depths.values()), None)
    return View(
        name=name,
        image_path=photo,
        width_px=info.width_px,
        height_px=info.height_px,
        intrinsics=_pinhole(intrinsics, where),
        world_to_camera=checked_rigid(pose, where),
        split="test" if held_out else "train",
        mask_path=depth,
        mask_below=None if depth is None else MASK_BELOW,
        color_space=info.color_space,
    )


def _pinhole(matrix: object, where: str) -> np.ndarray:
    try:
        found = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CaptureError(f"{where}: the intrinsics are no numbers. Restore the file.") from error
    plain = found.shape == (3, 3) and np.isfinite(found).all()
    if not plain or found[0, 0] <= 0 or found[1, 1] <= 0 or abs(found[0, 1]) > 1e-3 * found[0, 0]:
        raise CaptureError(
            f"{where}: the intrinsics are not those of a pinhole camera without skew: "
            f"{str(found.tolist())[:120]}. Restore the file."
        )
    return pinhole(found[0, 0], found[1, 1], found[0, 2], found[1, 2])
