"""Light that a surface sends to itself: what its vertices see of it, gathered bounce by bounce.

Which rays of a vertex end where depends on geometry alone, so it is traced once and serves every
light. Surfaces send light on as if they were matt, by their whole reflectance: a mirror's image of
its surroundings is spread, its energy is kept.

Source: Cohen et al. 1988 (progressive radiosity) with vertices as patches; Ward et al. 1988
(irradiance caching).
"""

import dataclasses
from collections.abc import Callable, Sequence
from math import pi
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from relight3d.core.surface import Proxy, SurfaceMaterials, interpolate
from relight3d.core.types import Materials
from relight3d.shading.denoise import diffuse_reflectance, specular_reflectance
from relight3d.shading.montecarlo.delta import DeltaLight, delta_light
from relight3d.shading.montecarlo.estimator import Occluded
from relight3d.shading.montecarlo.lights import Light
from relight3d.shading.montecarlo.samplers import cosine_density, sample_cosine
from relight3d.shading.montecarlo.sequence import rotated_points

LIFT_VOXELS = 0.5
"""How far above the mesh its vertices look out from."""
MEAN_COSINE = 2.0 / 3.0
"""Of light that leaves a matt surface: where a whole reflectance is taken."""
MOST_REFLECTED = 0.98
"""No surface sends on more: bounces without end stay finite."""
LINKS = 64
"""Rays a vertex."""


class Found(Protocol):
    """A tracer's `Hits`."""

    @property
    def distance(self) -> Float[Tensor, " R"]: ...  # noqa: D102
    @property
    def triangle(self) -> Int[Tensor, " R"]: ...  # noqa: D102
    @property
    def barycentrics(self) -> Float[Tensor, "R 2"]: ...  # noqa: D102


Hit = Callable[..., Found]
"""hit(origins [R, 3], directions [R, 3], far [R] or None): see a tracer's `hit`."""


@dataclasses.dataclass(frozen=True)
class SurfaceLinks:
    """What v of a mesh's vertices see along D directions, drawn by the cosine to their normals."""

    proxy: Proxy
    origins: Float[Tensor, "v 3"]
    normals: Float[Tensor, "v 3"]
    directions: Float[Tensor, "v D 3"]
    open_sky: Bool[Tensor, "v D"]
    row: Int[Tensor, " L"]
    """Which of the v each ray is of that ends on the front of a triangle."""
    triangle: Int[Tensor, " L"]
    barycentrics: Float[Tensor, "L 2"]

    def gather(self, leaving: Float[Tensor, "V 3"]) -> Float[Tensor, "v 3"]:
        """Irradiance from the surface itself. Differentiable (linear) in the leaving radiance."""
        seen = interpolate(leaving, self.proxy.mesh.faces, self.triangle, self.barycentrics)
        total = torch.zeros_like(self.origins).index_add(0, self.row, seen)
        return total * (pi / self.directions.shape[1])

    @torch.no_grad()
    def sky(self, light: Light) -> Float[Tensor, "v 3"]:
        """Irradiance from distant light along the links alone: cheap, noisy under a small sun."""
        row, ray = self.open_sky.nonzero(as_tuple=True)
        radiance = light.radiance(self.directions[row, ray])
        total = torch.zeros_like(self.origins).index_add(0, row, radiance)
        return total * (pi / self.directions.shape[1])


@torch.no_grad()
def link(
    proxy: Proxy,
    hit: Hit,
    generator: torch.Generator,
    count: int = LINKS,
    vertices: Int[Tensor, " v"] | None = None,
) -> SurfaceLinks:
    """Trace what the vertices of a proxy see. Memory: about 25 bytes a ray.

    Args:
        proxy: Not without triangles.
        hit: Of a tracer of its mesh.
        generator: Of the directions.
        count: Rays a vertex.
        vertices: Which of them; None: all.
    """
    mesh, normals, places = proxy.mesh, proxy.normals, proxy.mesh.vertices
    if vertices is not None:
        normals, places = normals[vertices], places[vertices]
    origins = places + LIFT_VOXELS * proxy.voxel * normals
    u = rotated_points(len(normals), count, generator, 2, normals.device, normals.dtype)
    directions = sample_cosine(u.transpose(0, 1), normals).transpose(0, 1).contiguous()
    flat = directions.flatten(0, 1)
    found = hit(origins.repeat_interleave(count, 0), flat)
    struck = found.triangle >= 0
    facing = (mesh.face_normals(found.triangle.clamp_min(0)) * flat).sum(-1) < 0
    index = (struck & facing).nonzero()[:, 0]
    return SurfaceLinks(
        proxy=proxy,
        origins=origins,
        normals=normals,
        directions=directions,
        open_sky=~struck.view(-1, count),
        row=torch.div(index, count, rounding_mode="floor"),
        triangle=found.triangle[index].long(),
        barycentrics=found.barycentrics[index].to(normals),
    )


@torch.no_grad()
def direct_irradiance(
    links: SurfaceLinks,
    light: Light | None,
    lamps: Sequence[DeltaLight],
    occluded: Occluded,
    generator: torch.Generator,
    light_samples: int = 32,
) -> Float[Tensor, "v 3"]:
    """Irradiance of the linked vertices from all lights, past the mesh.

    Distant light by its own samples and the links' together (balance heuristic).
    """
    normals, origins = links.normals, links.origins
    total = lamp_irradiance(links, lamps, occluded)
    if light is None:
        return total
    count = links.directions.shape[1]
    u = rotated_points(len(normals), light_samples, generator, 3, normals.device, torch.float64)
    drawn = light.sample(u[..., :2].to(normals.dtype), u[..., 2]).to(normals.dtype)
    above = (drawn * normals[:, None]).sum(-1) > 0
    row, ray = above.nonzero(as_tuple=True)
    free = above.clone()
    free[row, ray] = ~occluded(origins[row].contiguous(), drawn[row, ray].contiguous())
    for directions, seen in ((links.directions, links.open_sky), (drawn, free)):
        row, ray = seen.nonzero(as_tuple=True)
        toward = directions[row, ray]
        cosine = (toward * normals[row]).sum(-1)
        density = count * cosine_density(normals[row], toward)
        density = density + light_samples * light.density(toward)
        weight = torch.where(density > 0, cosine / density, 0.0)
        total = total.index_add(0, row, weight[:, None] * light.radiance(toward))
    return total


@torch.no_grad()
def lamp_irradiance(
    links: SurfaceLinks, lamps: Sequence[DeltaLight], occluded: Occluded
) -> Float[Tensor, "v 3"]:
    """Irradiance of the linked vertices from lights without extent, past the mesh."""
    normals, total = links.normals, torch.zeros_like(links.origins)
    for lamp in lamps:
        arrival = delta_light(links.origins, lamp)
        cosine = (arrival.direction * normals).sum(-1)
        index = (cosine > 0).nonzero()[:, 0]
        blocked = occluded(
            links.origins[index].contiguous(),
            arrival.direction[index].contiguous(),
            arrival.distance[index].contiguous(),
        )
        lit = index[~blocked]
        total = total.index_add(0, lit, arrival.irradiance[lit] * cosine[lit, None])
    return total


def whole_reflectance(materials: SurfaceMaterials | Materials) -> Float[Tensor, "V 3"]:
    """Share of the light on a surface that leaves it again, whichever way. In [0, 0.98].

    Differentiable.
    """
    parts = materials.albedo_linear, materials.metallic
    cosine = torch.full_like(materials.roughness, MEAN_COSINE)
    specular = specular_reflectance(*parts, materials.roughness, cosine)
    return (diffuse_reflectance(*parts) + specular).clamp(0.0, MOST_REFLECTED)


def leaving_radiance(
    links: SurfaceLinks,
    direct: Float[Tensor, "V 3"],
    reflectance: Float[Tensor, "V 3"],
    bounces: int,
) -> Float[Tensor, "V 3"]:
    """Radiance that vertices send on after so many of their own bounces, at least one.

    Links must be of all vertices where there are several.
    """
    total = direct
    for _ in range(bounces - 1):
        total = direct + links.gather(reflectance * total / pi)
    return reflectance * total / pi


@dataclasses.dataclass(frozen=True)
class SurfaceGlow:
    """A mesh whose vertices send out light, as rays that hit it see it: an estimator's `Bounce`."""

    proxy: Proxy
    hit: Hit
    leaving: Float[Tensor, "V 3"]
    """Linear radiance."""

    def __call__(
        self, origins: Float[Tensor, "R 3"], directions: Float[Tensor, "R 3"]
    ) -> Float[Tensor, "R 3"]:
        """Radiance back along rays; 0 where nothing, or the inside of the mesh, is hit.

        Differentiable in `leaving`.
        """
        mesh = self.proxy.mesh
        with torch.no_grad():
            found = self.hit(origins, directions)
            outside = mesh.face_normals(found.triangle.clamp_min(0)) * directions
            index = ((found.triangle >= 0) & (outside.sum(-1) < 0)).nonzero()[:, 0]
            triangle, weights = found.triangle[index].long(), found.barycentrics[index]
        seen = interpolate(self.leaving, mesh.faces, triangle, weights.to(self.leaving))
        dark = torch.zeros_like(directions)
        return dark.index_copy(0, index, seen.to(dark))
