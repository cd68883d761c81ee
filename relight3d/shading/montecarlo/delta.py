"""Lights without extent, which no ray finds by chance: each is one direction from every point."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.types import DirectionalLight, PointLight
from relight3d.shading.montecarlo.planes import dot, unit

DeltaLight = PointLight | DirectionalLight

MIN_DISTANCE = 1e-3
"""Point lights are taken as at least this far away, world units, where their light is divided by
the squared distance."""


@dataclasses.dataclass(frozen=True)
class DeltaArrival:
    """How the light of one light without extent arrives at P points."""

    direction: Float[Tensor, "P 3"]
    """Unit, toward the light; 0 where a point lies in it."""
    distance: Float[Tensor, " P"]
    """World units; infinite for a directional light."""
    irradiance: Float[Tensor, "P 3"]
    """On a surface that faces the light, with nothing between."""


def delta_light(points: Float[Tensor, "P 3"], light: DeltaLight) -> DeltaArrival:
    """Where a point or directional light stands as seen from `points`, and what arrives of it.

    Differentiable in the points, except within `MIN_DISTANCE` of a point light.
    """
    if isinstance(light, DirectionalLight):
        direction = unit(points.new_tensor(light.direction)).expand_as(points)
        distance = points.new_full(points.shape[:1], torch.inf)
        return DeltaArrival(
            direction, distance, points.new_tensor(light.irradiance_linear).expand_as(points)
        )
    toward = points.new_tensor(light.position) - points
    squared = dot(toward, toward)
    intensity = points.new_tensor(light.intensity_linear)
    irradiance = intensity / squared.clamp_min(MIN_DISTANCE**2)[:, None]
    return DeltaArrival(unit(toward), squared.clamp_min(1e-20).sqrt(), irradiance)
