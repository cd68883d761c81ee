"""Ground truth and held-out photos, as the scores compare them."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from relight3d.core.views import ColorSpace, View
from relight3d.evaluation.metrics import Picture, over
from relight3d.files.images import Image, read_image, read_mask

WHITE, BLACK = 1.0, 0.0


def photo_on_background(view: View) -> Picture:
    """The held-out photo, encoded, over white if it has a mask (black would be of no effect)."""
    image = read_image(view.image_path)
    alpha = coverage_of(view, image)
    return encoded(image) if alpha is None else over(encoded(image), alpha, WHITE)


def coverage_of(view: View, image: Image) -> Float[np.ndarray, "H W 1"] | None:
    """Mask of a photo: its file, else its alpha, else none."""
    if view.mask_path is not None:
        return read_mask(view.mask_path, (view.width_px, view.height_px), view.mask_below)
    return image.alpha


def relit_photo(path: Path) -> tuple[Picture, Float[np.ndarray, "H W 1"]]:
    """A ground-truth picture under another light: encoded colour and alpha."""
    image = read_image(path)
    return encoded(image), alpha_or_full(image)


def true_albedo(
    path: Path, space: ColorSpace = "linear"
) -> tuple[Picture, Bool[np.ndarray, "H W"]]:
    """Linear albedo of a picture encoded as `space` says, and where the object is."""
    image = read_image(path)
    albedo = image.pixels if space == "linear" or image.color_space == "linear" else decoded(image)
    return albedo, alpha_or_full(image)[..., 0] >= 0.5


def true_normals(path: Path) -> tuple[Float[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """World normals from 0.5 n + 0.5, and where the object is."""
    image = read_image(path)
    normals = image.pixels * 2.0 - 1.0
    known = np.linalg.norm(normals, axis=-1) > 0.5
    return normals, known & (alpha_or_full(image)[..., 0] >= 0.5)


def alpha_or_full(image: Image) -> Float[np.ndarray, "H W 1"]:
    """Alpha, or 1 everywhere."""
    return np.ones_like(image.pixels[..., :1]) if image.alpha is None else image.alpha


def decoded(image: Image) -> Picture:
    """Linear values of an sRGB-encoded picture."""
    high = ((image.pixels + 0.055) / 1.055) ** 2.4
    return np.where(image.pixels > 0.04045, high, image.pixels / 12.92).astype(np.float32)


def encoded(image: Image) -> Picture:
    """The picture as a screen shows it: linear files are clipped at 1 and sRGB-encoded."""
    if image.color_space == "srgb":
        return image.pixels
    linear = np.clip(image.pixels, 0.0, 1.0)
    high = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear > 0.0031308, high, 12.92 * linear).astype(np.float32)
