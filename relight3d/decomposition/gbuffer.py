"""Named channels of all splats, drawn in one pass of the rasterizer."""

import dataclasses
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.core.planes import pixel_rays
from relight3d.core.types import Cameras, Gaussians

MIN_COVERAGE = 0.01
"""Pixels fainter than this are not shaded: dividing by their alpha would only amplify noise."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Channels of one view, premultiplied by alpha, and the pixels worth shading."""

    maps: Mapping[str, Float[Tensor, "H W _"]]
    alpha: Float[Tensor, "H W 1"]
    covered: Int[Tensor, " P"]
    """Flat indices of pixels with some coverage."""
    rays: Float[Tensor, "H W 3"]

    def at_covered(self, name: str) -> Float[Tensor, "P _"]:
        """A channel at the covered pixels, divided by alpha."""
        coverage = self.alpha.flatten(0, 1)[self.covered]
        return self.maps[name].flatten(0, 1)[self.covered] / coverage

    def view_directions(self) -> Float[Tensor, "P 3"]:
        """Unit vectors from the surface to the camera at the covered pixels."""
        return -torch.nn.functional.normalize(self.rays.flatten(0, 1)[self.covered], dim=-1)

    def spread(self, values: Float[Tensor, "P ch"], shape_like: Tensor) -> Float[Tensor, "H W ch"]:
        """Values of the covered pixels as an image, zero elsewhere. Differentiable."""
        height, width = shape_like.shape[:2]
        flat = values.new_zeros(height * width, values.shape[-1])
        return flat.index_copy(0, self.covered, values).view(height, width, -1)


def draw(
    rasterize: Rasterizer,
    gaussians: Gaussians,
    channels: Mapping[str, Float[Tensor, "N _"]],
    cameras: Cameras,
) -> Drawn:
    """Rasterize all channels into one camera. Differentiable as the rasterizer is."""
    raster = rasterize(gaussians, torch.cat(list(channels.values()), -1), cameras)
    widths = [channel.shape[-1] for channel in channels.values()]
    maps = dict(zip(channels, raster.features[0].split(widths, -1), strict=True))
    alpha = raster.alpha[0]
    covered = (alpha.detach() > MIN_COVERAGE).flatten().nonzero()[:, 0]
    return Drawn(maps, alpha, covered, pixel_rays(cameras))


MIN_CONTRIBUTION_PX = 0.02
"""Splats whose weights over all pixels of a view sum to less are left out of its drawing."""


@torch.enable_grad()
def contributing(
    rasterize: Rasterizer, gaussians: Gaussians, cameras: Cameras
) -> Int[Tensor, " n"]:
    """Indices of the splats that a view really shows; the far side of a closed object is left out.

    The derivative of a constant feature's sum is each splat's total weight in the picture.
    """
    one = torch.zeros(len(gaussians), 1, device=gaussians.means.device).requires_grad_()
    rasterize(gaussians, one, cameras).features.sum().backward()
    assert one.grad is not None
    return (one.grad[:, 0] > MIN_CONTRIBUTION_PX).nonzero()[:, 0]


def some_gaussians(gaussians: Gaussians, rows: Int[Tensor, " n"]) -> Gaussians:
    """A subset."""
    return Gaussians(**{name: value[rows] for name, value in vars(gaussians).items()})
