"""Reflected light by multiple importance sampling: draw rays, ask what arrives, gather it.

Source: Veach and Guibas 1995, the multi-sample model with the balance heuristic. Every ray is
weighted by the summed density of all strategies, sum_k n_k p_k(direction), whichever drew it; so
reflected radiance is just sum_s brdf(s) cos(s) incoming(s) / density(s).
"""

import dataclasses
from collections.abc import Callable, Sequence
from math import pi

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError
from relight3d.shading.brdf import evaluate, specular_f0
from relight3d.shading.montecarlo.delta import DeltaLight, delta_light
from relight3d.shading.montecarlo.lights import Light
from relight3d.shading.montecarlo.planes import dot
from relight3d.shading.montecarlo.reflection import lobe_sums
from relight3d.shading.montecarlo.samplers import (
    cosine_density,
    ggx_density,
    sample_cosine,
    sample_ggx,
)
from relight3d.shading.montecarlo.sequence import rotated_points

Occluded = Callable[..., Bool[Tensor, " R"]]
"""occluded(origins [R, 3], directions [R, 3], far [R] or None): see a tracer's `occluded`."""
Bounce = Callable[[Float[Tensor, "R 3"], Float[Tensor, "R 3"]], Float[Tensor, "R 3"]]
"""Linear radiance that comes back along rays (origins, directions) which hit something."""

LIFT = 1e-4
"""How far above the surface rays start, unless told: world units, in a scene of about unit size."""


@dataclasses.dataclass(frozen=True)
class SurfacePoints:
    """What is lit: P points of surfaces."""

    position: Float[Tensor, "P 3"]
    """World."""
    normal: Float[Tensor, "P 3"]
    """Unit shading normals; a point whose normal is 0 reflects nothing."""
    geometric_normal: Float[Tensor, "P 3"]
    """Unit normals of the traced surface, on the viewer's side."""
    view: Float[Tensor, "P 3"]
    """Unit, toward the viewer."""
    albedo: Float[Tensor, "P 3"]
    """Linear base colour in [0, 1]."""
    roughness: Float[Tensor, "P 1"]
    """Perceptual, in [0, 1]; taken as at least `brdf.MIN_ROUGHNESS`."""
    metallic: Float[Tensor, "P 1"]
    """In [0, 1]."""

    def __len__(self) -> int:
        """Number of points."""
        return self.position.shape[0]


@dataclasses.dataclass(frozen=True)
class SampleCounts:
    """Rays a point by strategy; together at least one."""

    cosine: int
    """Evenly over the projected hemisphere: what a rough surface asks for."""
    ggx: int
    """By the microfacets the viewer sees: what a shiny one asks for."""
    light: int
    """Toward where distant light is bright."""

    def __post_init__(self) -> None:
        """Refuse nothing at all."""
        counts = (self.cosine, self.ggx, self.light)
        if min(counts) < 0 or self.total == 0:
            raise ConfigurationError(
                f"Sample counts must be >= 0 and not all 0, got {counts} (cosine, ggx, light)."
            )

    @classmethod
    def shared(cls, rays: int, distant: bool) -> "SampleCounts":
        """So many rays, 2 or more, by all strategies: half toward the light if it is distant."""
        light = rays // 2 if distant else 0
        ggx = max(1, (rays - light) // 2)
        return cls(rays - light - ggx, ggx, light)

    @property
    def total(self) -> int:
        """Rays a point."""
        return self.cosine + self.ggx + self.light


@dataclasses.dataclass(frozen=True)
class Rays:
    """Where each point looks for light. Detached."""

    directions: Float[Tensor, "P S 3"]
    """Unit; [3, S, P] in memory."""
    density: Float[Tensor, "P S"]
    """sum_k n_k p_k(direction) over the strategies, 1/steradian."""
    useful: Bool[Tensor, "P S"]
    """Whether light along the ray can count: above the shading and the geometric horizon."""


@torch.no_grad()
def draw_rays(
    points: SurfacePoints, light: Light | None, counts: SampleCounts, generator: torch.Generator
) -> Rays:
    """Directions by all strategies, and their summed density.

    Args:
        points: Where from.
        light: Distant light to draw `counts.light` directions toward; None where there is none.
        counts: Rays a point by strategy. Wherever light is to be found, some strategy must look:
            light samples alone miss what surfaces send, GGX samples alone converge slowly.
        generator: Of the random numbers; the same state gives the same rays.

    Raises:
        ConfigurationError: Light samples asked without a light.
    """
    if light is None and counts.light:
        raise ConfigurationError(
            f"{counts.light} light samples a point were asked, but there is no distant light to "
            "draw them toward. Set SampleCounts.light to 0, or give a light."
        )
    normal, view, roughness = points.normal, points.view, points.roughness

    def numbers(samples: int, dimensions: int, dtype: torch.dtype) -> Tensor:
        u = rotated_points(
            len(points), samples, generator, dimensions, normal.device, dtype
        )  # fmt: skip
        return u.transpose(0, 1)

    drawn: list[Float[Tensor, "s P 3"]] = []
    if counts.cosine:
        drawn.append(sample_cosine(numbers(counts.cosine, 2, normal.dtype), normal))
    if counts.ggx:
        drawn.append(sample_ggx(numbers(counts.ggx, 2, normal.dtype), normal, view, roughness))
    if counts.light and light is not None:
        u = numbers(counts.light, 3, torch.float64)  # one of them picks among millions of texels
        drawn.append(light.sample(u[..., :2].to(normal.dtype), u[..., 2]))
    directions = torch.cat([some.movedim(-1, 0) for some in drawn], 1).movedim(0, -1)
    cosine = dot(normal, directions)
    density = counts.cosine * cosine_density(normal, directions)
    if counts.ggx:
        density = density + counts.ggx * ggx_density(normal, view, directions, roughness)
    if counts.light and light is not None:
        density = density + counts.light * light.density(directions)
    useful = (cosine > 0.0) & (dot(points.geometric_normal, directions) > 0.0) & (density > 0.0)
    return Rays(directions.transpose(0, 1), density.t(), useful.t())


def gather(
    points: SurfacePoints, rays: Rays, incoming: Float[Tensor, "P S 3"]
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """Reflected linear radiance, (diffuse, specular), of `brdf.evaluate`'s surface.

    Differentiable, once, in the points' normal, albedo, roughness and metallic and in `incoming`;
    rays and what they hit are taken as fixed.
    """
    weight = torch.where(rays.useful, 1.0 / rays.density, 0.0)
    base, facing, grazing = lobe_sums(
        points.normal, points.roughness, points.view, rays.directions, weight, incoming
    )
    f0 = specular_f0(points.albedo, points.metallic)
    diffuse = points.albedo * ((1.0 - points.metallic) / pi) * (1.0 - f0) * base
    return diffuse, f0 * facing + grazing


def incoming(
    points: SurfacePoints,
    rays: Rays,
    light: Light | None,
    occluded: Occluded,
    bounce: Bounce | None = None,
    lift: float = LIFT,
) -> Float[Tensor, "P S 3"]:
    """Linear radiance that arrives along useful rays: distant light, or what is in its way.

    Args:
        points: Where the rays start.
        rays: From `draw_rays`; those that are not useful are not traced and carry 0.
        light: What is seen where nothing is in the way; None: nothing.
        occluded: Of a tracer.
        bounce: What occluders send back; None: they are black.
        lift: How far along the geometric normal rays start, world units.

    Returns:
        Differentiable in the light's map and in what `bounce` is; [3, S, P] in memory.
    """
    count, samples = rays.density.shape
    index = rays.useful.t().flatten().nonzero()[:, 0]
    flat = rays.directions.permute(2, 1, 0).reshape(3, -1)
    with torch.no_grad():
        start = points.position + lift * points.geometric_normal
        origins = start.index_select(0, index % max(count, 1)).contiguous()
        toward = flat.index_select(1, index).t().contiguous()
        blocked = occluded(origins, toward)
    found: list[tuple[Tensor, Tensor]] = []
    if light is not None:
        free = (~blocked).nonzero()[:, 0]
        seen = flat.index_select(1, index[free]).t()
        found.append((index[free], light.radiance(seen)))
    if bounce is not None:
        behind = blocked.nonzero()[:, 0]
        found.append((index[behind], bounce(origins[behind], toward[behind])))
    planes = flat.new_zeros(flat.shape)
    if found:
        places = torch.cat([place for place, _ in found])
        planes = planes.index_copy(1, places, torch.cat([value.t() for _, value in found], 1))
    return planes.view(3, samples, count).permute(2, 1, 0)


def shade_delta(
    points: SurfacePoints, lights: Sequence[DeltaLight], occluded: Occluded, lift: float = LIFT
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """Reflected light of lights without extent, (diffuse, specular), past what is in the way.

    Differentiable in the points' normal, albedo, roughness and metallic.
    """
    diffuse, specular = torch.zeros_like(points.albedo), torch.zeros_like(points.albedo)
    start = (points.position + lift * points.geometric_normal).detach().contiguous()
    for light in lights:
        arrival = delta_light(points.position.detach(), light)
        lit = (dot(points.geometric_normal, arrival.direction) > 0.0).detach()
        index = lit.nonzero()[:, 0]
        blocked = occluded(
            start[index],
            arrival.direction[index].contiguous(),
            arrival.distance[index].contiguous(),
        )
        lit = lit.index_put((index,), ~blocked)
        irradiance = arrival.irradiance * lit[:, None]
        parts = evaluate(
            points.normal, points.view, arrival.direction, points.albedo, points.roughness,
            points.metallic,
        )  # fmt: skip
        diffuse, specular = diffuse + parts[0] * irradiance, specular + parts[1] * irradiance
    return diffuse, specular
