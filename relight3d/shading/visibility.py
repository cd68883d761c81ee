"""Which light directions, or which point lights, reach which points, past the splats between."""

import dataclasses
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError
from relight3d.core.types import Gaussians
from relight3d.shading.shadow_map import (
    LitFraction,
    Rasterize,
    lit_fraction,
    look_along,
    render_shadow_maps,
    splat_planes,
)

_DISTANCE_IN_RADII = 30.0
"""How far away a directional light's camera stands: rays deviate by at most 1.9 degrees."""
_COVERED = 0.998
"""Share of the splats that the bounding sphere holds: stray ones must not blur the maps."""
_MAX_TAN_HALF_ANGLE = 1.3
_CUBE_MARGIN = 1.02


@dataclasses.dataclass(frozen=True)
class Sphere:
    """What shadow maps must cover."""

    center: Float[Tensor, "3"]
    radius: float


def bounding_sphere(gaussians: Gaussians) -> Sphere:
    """A sphere around nearly all splats, three standard deviations included."""
    if len(gaussians) == 0:
        raise ConfigurationError("Visibility needs at least one splat, got none.")
    means = gaussians.means.detach()
    low, high = _quantile(means, 1.0 - _COVERED), _quantile(means, _COVERED)
    center = 0.5 * (low + high)
    reach = (means - center).norm(dim=-1) + 3.0 * gaussians.scales.detach().amax(-1)
    return Sphere(center, 1.02 * float(_quantile(reach[:, None], _COVERED)))


def _quantile(values: Float[Tensor, "N K"], share: float) -> Float[Tensor, " K"]:
    """Element of rank `share`, without torch.quantile's limit on the number of elements."""
    rank = max(1, min(len(values), round(share * len(values))))
    return values.kthvalue(rank, dim=0).values


@torch.no_grad()
def trace_visibility(
    gaussians: Gaussians,
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"] | None,
    directions: Float[Tensor, "D 3"],
    *,
    rasterize: Rasterize,
    look_up: LitFraction = lit_fraction,
    resolution_px: int = 192,
    bias: float | None = None,
    sphere: Sphere | None = None,
    batch: int = 8,
) -> Float[Tensor, "N D"]:
    """How much of the light from each infinitely far direction reaches each point.

    One narrow shadow map per direction, from 30 radii away. Not differentiable.

    Args:
        gaussians: The occluders.
        points: World positions, usually splat centres.
        normals: Unit, of either sign; None for points in free space, not for points on
            surfaces, which would shadow themselves at grazing angles.
        directions: Unit, toward the light.
        rasterize: Draws features; see `backends.interface.Rasterizer`.
        look_up: `shadow_map.lit_fraction`, or what computes the same faster.
        resolution_px: Side of each shadow map.
        bias: World units, see `shadow_map.lit_fraction`. None: 1.5 texels.
        sphere: What the maps cover; None: nearly all splats. Points outside count as lit.
        batch: Shadow maps drawn at once.

    Returns:
        1 = unoccluded. A closed body shadows its own points from directions below their horizon.
    """
    sphere = bounding_sphere(gaussians) if sphere is None else sphere
    bias = 3.0 * sphere.radius / resolution_px if bias is None else bias
    distance = _DISTANCE_IN_RADII * sphere.radius
    tangent = 1.0 / sqrt(_DISTANCE_IN_RADII**2 - 1.0)
    planes = splat_planes(gaussians)
    seen = points.new_empty(len(points), len(directions))
    for some, columns in zip(directions.split(batch), seen.split(batch, 1), strict=True):
        eyes = sphere.center + distance * some
        cameras = look_along(eyes, -some, tangent, resolution_px)
        maps = render_shadow_maps(gaussians, planes, cameras, rasterize)
        columns.copy_(look_up(maps, points, normals, bias)[0].t())
    return seen


@torch.no_grad()
def point_light_visibility(
    gaussians: Gaussians,
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"] | None,
    position: tuple[float, float, float],
    *,
    rasterize: Rasterize,
    look_up: LitFraction = lit_fraction,
    resolution_px: int = 512,
    bias: float | None = None,
    sphere: Sphere | None = None,
) -> Float[Tensor, "N 1"]:
    """How much of a point light's light reaches each point: one shadow map, or six around it.

    Arguments as `trace_visibility`. A light outside the bounding sphere looks at it with one
    camera; one inside or very near looks along the six axes. Not differentiable.
    """
    sphere = bounding_sphere(gaussians) if sphere is None else sphere
    eye = sphere.center.new_tensor(position)
    toward = sphere.center - eye
    distance = float(toward.norm())
    beyond = sqrt(max(distance**2 - sphere.radius**2, 0.0))
    if beyond * _MAX_TAN_HALF_ANGLE > sphere.radius:
        tangent = sphere.radius / beyond
        cameras = look_along(eye[None], toward[None] / distance, tangent, resolution_px)
    else:
        tangent = _CUBE_MARGIN
        axes = torch.cat([torch.eye(3), -torch.eye(3)]).to(eye)
        cameras = look_along(eye.expand(6, 3), axes, tangent, resolution_px)
    if bias is None:
        bias = 3.0 * max(distance, sphere.radius) * tangent / resolution_px
    maps = render_shadow_maps(gaussians, splat_planes(gaussians), cameras, rasterize)
    lit, inside = look_up(maps, points, normals, bias)
    seen = inside.to(lit)
    total = seen.sum(0)
    share = (lit * seen).sum(0) / total.clamp_min(1.0)
    return torch.where(total > 0, share, 1.0)[:, None]
