"""Named channels of all splats, drawn in one pass of the rasterizer."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property

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
    """Channels of one view, premultiplied by alpha, and the pixels worth shading.

    Images and what is picked from them are kept in planes; see `in_planes`.
    """

    maps: Mapping[str, Float[Tensor, "H W _"]]
    alpha: Float[Tensor, "H W 1"]
    covered: Int[Tensor, " P"]
    """Flat indices of pixels with some coverage."""
    rays: Float[Tensor, "H W 3"]
    surface: Float[Tensor, "H W _"]
    """Those of the maps that say what the surface is made of, in one image."""
    names: tuple[str, ...]
    """Of the maps in `surface`, in order."""

    @cached_property
    def coverage(self) -> Float[Tensor, "P 1"]:
        """Alpha of the covered pixels."""
        return self.pick(self.alpha)

    def at_covered(self, name: str) -> Float[Tensor, "P _"]:
        """A channel at the covered pixels, divided by alpha."""
        if name in self.names:
            return self._surface_at_covered[name]
        return self.pick(self.maps[name]) / self.coverage

    @cached_property
    def _surface_at_covered(self) -> dict[str, Float[Tensor, "P _"]]:
        # All at once: each picking of its own costs an image of zeros on the way back.
        values = self.pick(self.surface) / self.coverage
        return _by_name(values, {name: self.maps[name] for name in self.names})

    def view_directions(self) -> Float[Tensor, "P 3"]:
        """Unit vectors from the surface to the camera at the covered pixels."""
        return -unit(self.pick(self.rays), 1e-12)

    def pick(self, image: Float[Tensor, "H W ch"]) -> Float[Tensor, "P ch"]:
        """The covered pixels of an image, in planes."""
        return image.flatten(0, 1).t().index_select(1, self.covered).t()

    def put(
        self, values: Float[Tensor, "P ch"], image: Float[Tensor, "H W ch"]
    ) -> Float[Tensor, "H W ch"]:
        """The image with these values at its covered pixels. Differentiable in both."""
        planes, index = image.flatten(0, 1).t(), self.covered.expand(image.shape[-1], -1)
        return planes.scatter(1, index, values.t()).t().unflatten(0, image.shape[:2])

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
    surface, further = torch.cat(list(channels.values()), -1), dict(plain or {})
    width = surface.shape[-1]
    if weight is not None:
        surface = torch.cat([weight * surface, weight], -1)
    raster = rasterize(gaussians, torch.cat([surface, *further.values()], -1), cameras)
    drawn, alpha = in_planes(raster.features.squeeze(0)), raster.alpha.squeeze(0)
    if not any(tensor.requires_grad for tensor in vars(gaussians).values()):
        alpha = alpha.detach()  # which spares the way back through every division by it
    whole = drawn.shape[-1]
    shown, total, rest = split_planes(
        drawn, [width, surface.shape[-1] - width, whole - surface.shape[-1]]
    )
    if weight is not None:
        shown = shown * (alpha / total.clamp_min(1e-12)).detach()
    maps = _by_name(shown, channels) | _by_name(rest, further)
    covered = (alpha.detach() > MIN_COVERAGE).flatten().nonzero()[:, 0]
    return Drawn(maps, alpha, covered, pixel_rays(cameras), shown, tuple(channels))


def _by_name(
    values: Float[Tensor, "*any _"], features: Mapping[str, Float[Tensor, "*other _"]]
) -> dict[str, Float[Tensor, "*any _"]]:
    """Channels by the names of what they were made from; constants if that was constant."""
    parts = split_planes(values, [feature.shape[-1] for feature in features.values()])
    return {
        name: part if feature.requires_grad else part.detach()
        for (name, feature), part in zip(features.items(), parts, strict=True)
    }


def in_planes(values: Float[Tensor, "*any ch"]) -> Float[Tensor, "*any ch"]:
    """The same values, each channel apart in memory: two to five times as fast to compute with.

    Vector code runs along the innermost axis, and three channels are too short for it.
    """
    return values.movedim(-1, 0).contiguous().movedim(0, -1)


def split_planes(
    values: Float[Tensor, "*any ch"], widths: Sequence[int]
) -> list[Float[Tensor, "*any _"]]:
    """Some channels each; their gradients come back in planes too."""
    parts = values.movedim(-1, 0).split(list(widths))
    return [part.movedim(0, -1) for part in parts]


def join_planes(parts: Sequence[Float[Tensor, "*any _"]]) -> Float[Tensor, "*any ch"]:
    """Channels side by side, in planes."""
    return torch.cat([part.movedim(-1, 0) for part in parts]).movedim(0, -1)


def unit(vectors: Float[Tensor, "P 3"], shortest: float) -> Float[Tensor, "P 3"]:
    """Vectors over their length, or over `shortest`; fast in planes, where torch's norm is not."""
    squared = vectors.square().sum(-1, keepdim=True)
    return vectors * squared.clamp_min(shortest**2).rsqrt()


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
    return Gaussians(
        **{name: value.index_select(0, rows) for name, value in vars(gaussians).items()}
    )
