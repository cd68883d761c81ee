"""Photos to pinhole photos: reduced, and the lens taken out."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from relight3d.capture.source import Lens
from relight3d.core.errors import CaptureError

_HALF_PIXEL = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
"""OpenCV puts the centre of the first pixel at 0, this package at 0.5."""


def reduced_size(width_px: int, height_px: int, max_size_px: int) -> tuple[int, int]:
    """Width and height with the longer side at most `max_size_px`."""
    factor = min(1.0, max_size_px / max(width_px, height_px))
    return max(1, round(width_px * factor)), max(1, round(height_px * factor))


def scaled_intrinsics(
    intrinsics: Float[np.ndarray, "3 3"], old: tuple[int, int], new: tuple[int, int]
) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of the resized photo."""
    return intrinsics * np.array([[new[0] / old[0]], [new[1] / old[1]], [1.0]])


def resized(pixels: Float[np.ndarray, "H W C"], size: tuple[int, int]) -> np.ndarray:
    """Reduced by averaging areas; unchanged if the size is the same."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    result = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return result.reshape(size[1], size[0], pixels.shape[2])


class Undistorter:
    """Takes one lens out of photos of one size, onto a pinhole without empty borders."""

    def __init__(
        self, lens: Lens, intrinsics: Float[np.ndarray, "3 3"], size: tuple[int, int], where: str
    ) -> None:
        """Prepare the map.

        Args:
            lens: The lens.
            intrinsics: Of the distorted photo.
            size: Width and height in pixels; kept.
            where: Which photo, for the message.

        Raises:
            CaptureError: The lens cannot be taken out: its field of view is too wide for a
                pinhole, or its coefficients fold the picture.
        """
        kernel = intrinsics - _HALF_PIXEL
        coefficients = np.array(lens.coefficients)
        try:
            new, maps = _straightening(lens.model, kernel, coefficients, size)
        except cv2.error:
            new, maps = np.full((3, 3), np.nan), (np.empty(0), np.empty(0))
        focal = float(new[0, 0])
        if not 0.05 < focal / max(intrinsics[0, 0], 1e-9) < 20 or not _is_sane(maps, size):
            raise CaptureError(
                f"{where}: the lens ({lens.model}, {', '.join(f'{c:.4g}' for c in coefficients)}) "
                "cannot be straightened onto a pinhole photo. Crop or calibrate the photos again."
            )
        self.intrinsics: Float[np.ndarray, "3 3"] = new + _HALF_PIXEL
        """Of the pinhole photo, pixel centres at +0.5."""
        self._maps = maps

    def __call__(self, pixels: Float[np.ndarray, "H W C"]) -> Float[np.ndarray, "H W C"]:
        """Resample; values stay within the range they had."""
        flat = cv2.remap(
            pixels, self._maps[0], self._maps[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        return np.clip(flat.reshape(pixels.shape), pixels.min(), pixels.max())


def _straightening(
    model: str, kernel: np.ndarray, coefficients: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, Sequence[np.ndarray]]:
    """New intrinsics and sampling maps, both in OpenCV's pixel convention."""
    turn, kind = np.eye(3), cv2.CV_32FC1
    if model == "fisheye":
        new = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
            kernel, coefficients, size, turn, balance=0.0
        )
        return new, cv2.fisheye.initUndistortRectifyMap(kernel, coefficients, turn, new, size, kind)
    new, _ = cv2.getOptimalNewCameraMatrix(kernel, coefficients, size, 0.0, size)
    return new, cv2.initUndistortRectifyMap(kernel, coefficients, turn, new, size, kind)


def _is_sane(maps: Sequence[np.ndarray], size: tuple[int, int]) -> bool:
    """Whether the maps neither fold the photo nor look far outside of it."""
    margin = 0.02 * max(size) + 2
    for values, extent, axis in zip(maps, size, (1, 0), strict=True):
        if not np.isfinite(values).all() or (np.diff(values, axis=axis) <= 0).any():
            return False
        if values.min() < -margin or values.max() > extent + margin:
            return False
    return True
