"""Surface points of a photo under its light, by traced rays."""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.types import PointLight
from relight3d.shading.montecarlo.estimator import (
    Bounce,
    Occluded,
    Rays,
    SampleCounts,
    SurfacePoints,
    draw_rays,
    gather,
    incoming,
    shade_delta,
)
from relight3d.shading.montecarlo.lights import Light


@dataclasses.dataclass(frozen=True)
class PhotoLight:
    """What shines on the surface in one photo."""

    distant: Light | None
    lamps: Sequence[PointLight]
    bounce: Bounce | None
    """What surfaces send on; None: they are black."""


def counts_for(rays: int, light: PhotoLight) -> SampleCounts | None:
    """How the rays of a pixel are spent; None where they can find nothing."""
    if light.distant is None and light.bounce is None:
        return None
    return SampleCounts.shared(rays, light.distant is not None)


def shade_points(
    points: SurfacePoints,
    light: PhotoLight,
    rays: int,
    occluded: Occluded,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """Reflected linear radiance, (diffuse, specular).

    Differentiable in the points' normal and material, and in the distant light.
    """
    diffuse, specular = shade_delta(points, light.lamps, occluded, lift=0.0)
    counts = counts_for(rays, light)
    if counts is None:
        return diffuse, specular
    drawn, arriving = arriving_light(points, light, counts, occluded, generator)
    parts = gather(points, drawn, arriving)
    return diffuse + parts[0], specular + parts[1]


def arriving_light(
    points: SurfacePoints,
    light: PhotoLight,
    counts: SampleCounts,
    occluded: Occluded,
    generator: torch.Generator,
) -> tuple[Rays, Float[Tensor, "P S 3"]]:
    """Traced rays, and the radiance that comes along them."""
    drawn = draw_rays(points, light.distant, counts, generator)
    return drawn, incoming(points, drawn, light.distant, occluded, light.bounce, lift=0.0)
