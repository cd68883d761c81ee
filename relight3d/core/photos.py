"""Photos in memory, as a fit sees them, and cameras for their views."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from relight3d.core.types import Cameras
from relight3d.core.views import View


@dataclasses.dataclass(frozen=True)
class Photo:
    """One decoded photo."""

    view: View
    pixels: UInt8[Tensor, "H W 3"] | Float[Tensor, "H W 3"]
    """Straight (not premultiplied). uint8: sRGB x 255. Float: display-referred sRGB in [0, 1]."""
    coverage: UInt8[Tensor, "H W 1"] | None
    """Alpha or mask x 255; None for a photo without."""

    def srgb(self) -> Float[Tensor, "H W 3"]:
        """Display-referred colour in [0, 1]."""
        return self.pixels.float() / 255.0 if self.pixels.dtype == torch.uint8 else self.pixels

    def alpha(self) -> Float[Tensor, "H W 1"] | None:
        """Coverage in [0, 1]."""
        return None if self.coverage is None else self.coverage.float() / 255.0


def cameras_of(views: Sequence[View]) -> Cameras:
    """The views' cameras as one float32 batch. All views must be of one size."""
    sizes = {(view.width_px, view.height_px) for view in views}
    assert len(sizes) == 1, f"one batch, several sizes: {sizes}"
    width, height = sizes.pop()
    return Cameras(
        world_to_camera=torch.from_numpy(np.stack([v.world_to_camera for v in views])).float(),
        intrinsics=torch.from_numpy(np.stack([v.intrinsics for v in views])).float(),
        width_px=width,
        height_px=height,
    )


def cameras_at_one_size(views: Sequence[View]) -> Cameras:
    """One batch of the cameras of views of any sizes, as if all were of the first one's size.

    Places, axes and the angle that the shorter side sees stay as they are: frames are enlarged or
    reduced until their shorter sides agree, then cut or widened about their middle.
    """
    size = np.array([views[0].width_px, views[0].height_px])
    resized = []
    for view in views:
        own = np.array([view.width_px, view.height_px])
        factor = size.min() / own.min()
        intrinsics = view.intrinsics.copy()
        intrinsics[:2, :2] *= factor
        intrinsics[:2, 2] = size / 2 + factor * (intrinsics[:2, 2] - own / 2)
        resized.append(
            dataclasses.replace(
                view, intrinsics=intrinsics, width_px=int(size[0]), height_px=int(size[1])
            )
        )
    return cameras_of(resized)


Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, the last two exclusive."""


def object_window(photo: Photo, margin_px: int) -> Window:
    """The smallest window that holds the photo's mask and a margin; the whole frame without one."""
    height, width = photo.pixels.shape[:2]
    if photo.coverage is None or not photo.coverage.any():
        return (0, 0, width, height)
    covered = photo.coverage[..., 0] > 0
    rows, columns = covered.any(1).nonzero()[:, 0], covered.any(0).nonzero()[:, 0]
    return (
        max(0, int(columns[0]) - margin_px),
        max(0, int(rows[0]) - margin_px),
        min(width, int(columns[-1]) + 1 + margin_px),
        min(height, int(rows[-1]) + 1 + margin_px),
    )


def part_of(window: Window, max_px: int, generator: torch.Generator) -> Window:
    """A random part of about the window's proportions with at most `max_px` pixels; 0: all of it.

    Bounds the time of a step whatever the size of the photos.
    """
    x0, y0, x1, y1 = window
    area = (x1 - x0) * (y1 - y0)
    if not max_px or area <= max_px:
        return window
    factor = (max_px / area) ** 0.5
    width, height = max(1, int(factor * (x1 - x0))), max(1, int(factor * (y1 - y0)))
    x = x0 + int(torch.randint(x1 - x0 - width + 1, (), generator=generator))
    y = y0 + int(torch.randint(y1 - y0 - height + 1, (), generator=generator))
    return (x, y, x + width, y + height)


def cut(photo: Photo, window: Window) -> Photo:
    """A part of the photo under the whole one's view; cheaper to decode than to cut afterwards."""
    x0, y0, x1, y1 = window
    coverage = None if photo.coverage is None else photo.coverage[y0:y1, x0:x1]
    return dataclasses.replace(photo, pixels=photo.pixels[y0:y1, x0:x1], coverage=coverage)


def crop_cameras(cameras: Cameras, window: Window) -> Cameras:
    """The same cameras, seeing only a window of their frames."""
    x0, y0, x1, y1 = window
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, 0, 2] -= x0
    intrinsics[:, 1, 2] -= y0
    return dataclasses.replace(cameras, intrinsics=intrinsics, width_px=x1 - x0, height_px=y1 - y0)
