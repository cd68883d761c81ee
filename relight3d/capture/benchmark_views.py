"""One photo of a benchmark whose frames name a pose and a horizontal angle of view."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relight3d.capture.fields import number, text
from relight3d.capture.poses import from_opengl
from relight3d.capture.source import pinhole
from relight3d.core.errors import CaptureError
from relight3d.core.views import View
from relight3d.files.images import image_info
from relight3d.files.safety import resolve_inside


def blender_view(
    frame: Mapping, fields: Mapping, picture: Path, name: str, where: str, **more: Any
) -> View:
    """A view from `transform_matrix` (OpenGL camera-to-world) and `camera_angle_x`.

    Args:
        frame: Holds the pose.
        fields: Holds the angle: the frame, or the file.
        picture: Exists.
        name: Of the view.
        where: File and frame, for messages.
        more: Further fields of `View`.

    Raises:
        CaptureError: A field is missing or impossible.
        FileFormatError: The picture cannot be read.
    """
    if "transform_matrix" not in frame:
        raise CaptureError(f"{where}: 'transform_matrix' is missing, so the photo has no pose.")
    info = image_info(picture)
    focal = focal_px(fields, info.width_px, where)
    return View(
        name=name,
        image_path=picture,
        width_px=info.width_px,
        height_px=info.height_px,
        intrinsics=pinhole(focal, focal, info.width_px / 2, info.height_px / 2),
        world_to_camera=from_opengl(frame["transform_matrix"], where),
        color_space=info.color_space,
        **more,
    )


def focal_px(fields: Mapping, width_px: int, where: str) -> float:
    """Focal length of a picture whose whole width is seen under `camera_angle_x`."""
    angle = number(fields, "camera_angle_x", where, low=1e-4, high=math.pi - 1e-4)
    return 0.5 * width_px / math.tan(0.5 * angle)


def required(root: Path, relative: str, where: str) -> Path:
    """An existing file under `root`.

    Raises:
        CaptureError: It does not exist.
        FileFormatError: The path leads out of `root`.
    """
    path = resolve_inside(root, relative, where)
    if not path.is_file():
        raise CaptureError(f"{where}: the file {path} does not exist. Restore it.")
    return path


def optional(root: Path, maps: Mapping[str, str], where: str) -> dict[str, Path]:
    """Those of some files under `root` that exist."""
    found = {key: resolve_inside(root, relative, where) for key, relative in maps.items()}
    return {key: path for key, path in found.items() if path.is_file()}


def frame_path(frame: Mapping, where: str) -> str:
    """`file_path` without a leading './'.

    Raises:
        CaptureError: Missing, empty or no text.
    """
    named = text(frame, "file_path", where)
    if not named:
        raise CaptureError(f"{where}: 'file_path' is missing. Restore the file.")
    return named.replace("\\", "/").removeprefix("./")
