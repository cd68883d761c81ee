"""Cameras from a JSON file: transforms.json frames, or a camera path of nerfstudio's viewer."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from relight3d.core.conventions import OPENCV_FROM_OPENGL
from relight3d.core.errors import FileFormatError
from relight3d.core.types import Cameras
from relight3d.core.views import Similarity
from relight3d.files.reading import check_picture_size
from relight3d.files.safety import read_json

_WHAT = "The camera file"
_MAX_CAMERAS = 100_000
_MAX_COORDINATE = 1e12


def read_camera_file(
    path: Path,
    capture_from_source: Similarity | None = None,
    default_size_px: tuple[int, int] | None = None,
) -> Cameras:
    """Read pinhole cameras to render from.

    Two layouts: `frames` with `transform_matrix` (camera to world, OpenGL axes) and `fl_x fl_y cx
    cy w h` or `camera_angle_x`, in the file or per frame; or nerfstudio's `camera_path` with
    `camera_to_world`, `fov` (vertical, degrees), `render_width` and `render_height`. Lens
    distortion is ignored: pictures are rendered undistorted.

    Args:
        path: The file. Its poses are in the frame of the capture's source.
        capture_from_source: The capture's normalisation, applied to the poses.
        default_size_px: Width and height for `frames` that name none (Blender's files do not).

    Raises:
        FileFormatError: Missing, malformed, no cameras, several picture sizes, a pose that is not a
            rotation and a place, or an impossible size or focal length. Names file and frame.
    """
    content = read_json(path)
    key = "camera_path" if "camera_path" in content else "frames"
    frames = content.get(key)
    if not isinstance(frames, list) or not 0 < len(frames) <= _MAX_CAMERAS:
        raise FileFormatError(
            f"{_WHAT} {path} has no list 'frames' (as in transforms.json) and no 'camera_path' (as "
            f"nerfstudio's viewer saves) of 1 to {_MAX_CAMERAS:,} cameras."
        )
    defaults = dict(zip(("w", "h"), default_size_px or (), strict=False))
    poses, intrinsics, sizes = [], [], set()
    for index, frame in enumerate(frames):
        where = f"{path}, {key} {index}"
        if not isinstance(frame, dict):
            raise FileFormatError(f"{_WHAT} {where} is not an object.")
        matrix = frame.get("camera_to_world" if key == "camera_path" else "transform_matrix")
        poses.append(_world_to_camera(matrix, where, capture_from_source or Similarity()))
        fields = {**defaults, **content, **frame}
        read = _path_intrinsics if key == "camera_path" else _frame_intrinsics
        matrix, size = read(fields, where)
        check_picture_size(path, _WHAT, *size)
        intrinsics.append(matrix)
        sizes.add(size)
    if len(sizes) > 1:
        raise FileFormatError(
            f"{_WHAT} {path} has several picture sizes: {sorted(sizes)}. Give one file per size."
        )
    width, height = sizes.pop()
    return Cameras(
        world_to_camera=torch.from_numpy(np.stack(poses)).float(),
        intrinsics=torch.from_numpy(np.stack(intrinsics)).float(),
        width_px=width,
        height_px=height,
    )


def _world_to_camera(
    value: object, where: str, capture_from_source: Similarity
) -> Float[np.ndarray, "4 4"]:
    try:
        matrix = np.array(value, np.float64).reshape(4, 4)
    except (TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"{_WHAT} {where}: the pose is not a 4 x 4 matrix.") from error
    rotation = matrix[:3, :3]
    if (
        not (np.abs(matrix) <= _MAX_COORDINATE).all()  # nor NaN
        or np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-3
        or np.linalg.det(rotation) < 0
        or np.abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-6
    ):
        raise FileFormatError(
            f"{_WHAT} {where}: the pose is not a rotation (orthonormal, right-handed) and a place."
        )
    pose = np.eye(4)
    pose[:3, :3] = capture_from_source.rotation @ rotation
    pose[:3, 3] = capture_from_source.apply(matrix[None, :3, 3])[0]
    return OPENCV_FROM_OPENGL @ np.linalg.inv(pose)


def _frame_intrinsics(
    fields: Mapping, where: str
) -> tuple[Float[np.ndarray, "3 3"], tuple[int, int]]:
    width, height = _size(fields, "w", "h", where)
    if "fl_x" in fields:
        fx = _number(fields, "fl_x", where, 1e-3 * width, 1e4 * width)
        fy = _number(fields, "fl_y", where, 1e-3 * height, 1e4 * height) if "fl_y" in fields else fx
    else:
        angle = _number(fields, "camera_angle_x", where, 1e-4, math.pi - 1e-4)
        fx = fy = 0.5 * width / math.tan(0.5 * angle)
    cx = _number(fields, "cx", where, -width, 2 * width) if "cx" in fields else width / 2
    cy = _number(fields, "cy", where, -height, 2 * height) if "cy" in fields else height / 2
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), (width, height)


def _path_intrinsics(
    fields: Mapping, where: str
) -> tuple[Float[np.ndarray, "3 3"], tuple[int, int]]:
    width, height = _size(fields, "render_width", "render_height", where)
    if fields.get("camera_type", "perspective") != "perspective":
        raise FileFormatError(f"{_WHAT} {where}: only perspective cameras are rendered.")
    focal = 0.5 * height / math.tan(math.radians(0.5 * _number(fields, "fov", where, 0.01, 179.99)))
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]), (width, height)


def _size(fields: Mapping, width: str, height: str, where: str) -> tuple[int, int]:
    sides = (_number(fields, key, where, 1.0, 1e7) for key in (width, height))
    return round(next(sides)), round(next(sides))


def _number(fields: Mapping, key: str, where: str, low: int | float, high: int | float) -> float:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise FileFormatError(
            f"{_WHAT} {where}: '{key}' is {repr(value)[:60]}; a number from {low:g} to {high:g} is "
            "needed."
        )
    return float(value)
