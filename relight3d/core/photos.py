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
