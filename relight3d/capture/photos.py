"""Views to photos in memory."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from relight3d.capture.undistort import resized, scaled_intrinsics
from relight3d.core.color import srgb_from_linear
from relight3d.core.errors import CaptureError
from relight3d.core.photos import Photo
from relight3d.core.views import View
from relight3d.files.images import read_image, read_mask


def load_photos(views: Sequence[View], max_px: int = 0) -> list[Photo]:
    """Decode the photos of some views, in order; see `load_photo` and, for `max_px`, `reduced`."""
    return [reduced(load_photo(view), max_px) for view in views]


def load_photo(view: View) -> Photo:
    """Decode one photo and its mask; a mask file wins over the picture's own alpha.

    8-bit photos stay 8-bit. Linear pictures are encoded to sRGB and clipped at 1.

    Raises:
        CaptureError: The picture or the mask has not the view's size any more.
        FileFormatError: A file that cannot be decoded.
    """
    image = read_image(view.image_path)
    height, width = image.pixels.shape[:2]
    if (width, height) != (view.width_px, view.height_px):
        raise CaptureError(
            f"{view.image_path} is {width} x {height} pixels, the capture says {view.width_px} x "
            f"{view.height_px}. Restore the picture or import the capture again."
        )
    if image.color_space == "linear":
        pixels = srgb_from_linear(torch.from_numpy(image.pixels)).clamp(0, 1)
    elif image.bits == 8:
        pixels = torch.from_numpy(_bytes(image.pixels))
    else:
        pixels = torch.from_numpy(image.pixels)
    coverage = image.alpha
    if view.mask_path is not None:
        coverage = read_mask(view.mask_path, (width, height), view.mask_below)
    return Photo(view, pixels, None if coverage is None else torch.from_numpy(_bytes(coverage)))


def reduced(photo: Photo, max_px: int) -> Photo:
    """The photo at its proportions with about `max_px` pixels; as it is, if it has fewer, or for 0.

    Areas are averaged in encoded values, as eyes and losses compare them; what the mask leaves out
    does not bleed in. The view's intrinsics and size follow.
    """
    height, width = photo.pixels.shape[:2]
    if not 0 < max_px < width * height:
        return photo
    factor = (max_px / (width * height)) ** 0.5
    size = (max(1, round(factor * width)), max(1, round(factor * height)))
    view = dataclasses.replace(
        photo.view, width_px=size[0], height_px=size[1],
        intrinsics=scaled_intrinsics(photo.view.intrinsics, (width, height), size),
    )  # fmt: skip
    color, alpha = photo.srgb().numpy(), photo.alpha()
    coverage = None
    if alpha is not None:
        covered = resized(alpha.numpy(), size)
        color, coverage = color * alpha.numpy(), torch.from_numpy(_bytes(covered))
    color = resized(color, size)
    if alpha is not None:
        color = color / np.maximum(covered, 0.5 / 255)
    whole = photo.pixels.dtype == torch.uint8
    pixels = torch.from_numpy(_bytes(color.clip(0, 1)) if whole else color)
    return Photo(view, pixels, coverage)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values * 255).astype(np.uint8)
