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
    weight: Float[Tensor, "N 1"] | None = None,
    plain: Mapping[str, Float[Tensor, "N _"]] | None = None,
) -> Drawn:
    """Rasterize all channels into one camera. Differentiable as the rasterizer is.

    Args:
        rasterize: Any backend.
        gaussians: What to draw.
        channels: What the surface is made of, per splat.
        cameras: One camera.
        weight: How much each splat counts in the pixel means of `channels`, positive; None: all
            alike. Coverage does not feel it, nor does its gradient flow.
        plain: Further channels that are blended by coverage alone.
    """
    features = dict(channels)
    if weight is not None:
        features = {name: weight * values for name, values in features.items()}
        features["weight"] = weight
    features |= plain or {}
    raster = rasterize(gaussians, torch.cat(list(features.values()), -1), cameras)
    widths = [feature.shape[-1] for feature in features.values()]
    maps = dict(zip(features, raster.features[0].split(widths, -1), strict=True))
    alpha = raster.alpha[0]
    if weight is not None:
        ratio = (alpha / maps.pop("weight").clamp_min(1e-12)).detach()
        maps |= {name: maps[name] * ratio for name in channels}
    covered = (alpha.detach() > MIN_COVERAGE).flatten().nonzero()[:, 0]
    return Drawn(maps, alpha, covered, pixel_rays(cameras))


MIN_CONTRIBUTION_PX = 0.02
"""Splats whose weights over all pixels of a view sum to less are left out of its drawing."""


@torch.enable_grad()
def contributions(
    rasterize: Rasterizer, gaussians: Gaussians, cameras: Cameras
) -> Float[Tensor, " N"]:
    """Each splat's total weight in a picture, in pixels: 0 for what others hide.

    It is the derivative of a constant feature's sum.
    """
    one = torch.zeros(len(gaussians), 1, device=gaussians.means.device).requires_grad_()
    rasterize(gaussians, one, cameras).features.sum().backward()
    assert one.grad is not None
    return one.grad[:, 0]


def some_gaussians(gaussians: Gaussians, rows: Int[Tensor, " n"]) -> Gaussians:
    """A subset."""
    return Gaussians(**{name: value[rows] for name, value in vars(gaussians).items()})
