"""Intrinsics and lens of one frame of a transforms.json, its own keys before the file's."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from relight3d.capture.fields import number, text, whole_number
from relight3d.capture.source import Lens, lens_of, pinhole
from relight3d.core.errors import CaptureError

_POLYNOMIAL = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "FULL_OPENCV",
               "PERSPECTIVE")  # fmt: skip
_FISHEYE = ("OPENCV_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
_FOCAL_KEYS = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y")


def frame_intrinsics(
    fields: Mapping, size_px: tuple[int, int], where: str, picture: Path
) -> tuple[Lens | None, Float[np.ndarray, "3 3"]]:
    """Lens and intrinsic matrix.

    Args:
        fields: The frame's keys over the file's.
        size_px: Width and height the picture has.
        where: File and frame, for messages.
        picture: The picture, for messages.

    Raises:
        CaptureError: No focal length, a declared size that the picture has not, an impossible
            value, or a camera model that is not supported.
    """
    width = whole_number(fields, "w", where, default=size_px[0])
    height = whole_number(fields, "h", where, default=size_px[1])
    if (width, height) != size_px:
        raise CaptureError(
            f"{where}: the picture {picture} is {size_px[0]} x {size_px[1]} pixels, the file says "
            f"{width} x {height} (w, h). Restore the picture, or give this frame its own "
            "fl_x fl_y cx cy w h."
        )
    if "camera_intrinsics" in fields:  # NRHints
        fields = {**fields, **_listed(fields["camera_intrinsics"], where)}
    focal_x, focal_y = _focal(fields, width, height, where)
    center = [
        number(fields, key, where, default=extent / 2, low=-extent, high=2 * extent)
        for key, extent in (("cx", width), ("cy", height))
    ]
    return _lens(fields, where), pinhole(focal_x, focal_y, *center)


def _listed(values: object, where: str) -> Mapping:
    if not isinstance(values, list) or len(values) != 4:
        raise CaptureError(
            f"{where}: 'camera_intrinsics' is {str(values)[:60]!r}; four numbers are needed: "
            "cx, cy, fx, fy. Mend the file."
        )
    return dict(zip(("cx", "cy", "fl_x", "fl_y"), values, strict=True))


def _focal(fields: Mapping, width: int, height: int, where: str) -> tuple[float, float]:
    if not any(key in fields for key in _FOCAL_KEYS):
        raise CaptureError(
            f"{where}: no focal length: none of {', '.join(_FOCAL_KEYS)} is given, in the frame or "
            "for the whole file. Add one."
        )
    extents = {"x": width, "y": height}
    focal: dict[str, float] = {}
    for axis, extent in extents.items():
        if f"fl_{axis}" in fields:
            focal[axis] = number(fields, f"fl_{axis}", where, low=1e-3 * extent, high=1e4 * extent)
        elif f"camera_angle_{axis}" in fields:
            angle = number(fields, f"camera_angle_{axis}", where, low=1e-4, high=math.pi - 1e-4)
            focal[axis] = 0.5 * extent / math.tan(0.5 * angle)
    return focal.get("x", focal.get("y", 0.0)), focal.get("y", focal.get("x", 0.0))


def _lens(fields: Mapping, where: str) -> Lens | None:
    model = (text(fields, "camera_model", where) or "OPENCV").upper()
    if not isinstance(fields.get("is_fisheye", False), bool):
        raise CaptureError(f"{where}: 'is_fisheye' is neither true nor false. Mend the file.")
    fisheye = model in _FISHEYE or fields.get("is_fisheye") is True
    if not fisheye and model not in _POLYNOMIAL:
        raise CaptureError(
            f"{where}: the camera model {model!r} is not supported. Supported: "
            f"{', '.join(_POLYNOMIAL + _FISHEYE)}. Undistort the photos first."
        )
    keys = ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    values = [number(fields, key, where, default=0.0, low=-1e4, high=1e4) for key in keys]
    return lens_of("fisheye" if fisheye else "polynomial", values)
