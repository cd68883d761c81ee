"""The maker's surfaces for our estimator: triangles to trace, materials where rays meet them."""

import dataclasses
import math

import numpy as np
import torch
from capture_maker.maps import values_at
from capture_maker.surfaces import Surface, joined
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.backends.tracing.interface import Tracer
from relight3d.backends.tracing.registry import get_tracer
from relight3d.core.surface import Mesh, interpolate
from relight3d.shading.montecarlo.delta import DeltaLight
from relight3d.shading.montecarlo.estimator import (
    Bounce,
    SampleCounts,
    SurfacePoints,
    draw_rays,
    gather,
    incoming,
    shade_delta,
)
from relight3d.shading.montecarlo.lights import Light
from relight3d.shading.montecarlo.sequence import rotated_points

POINTS_AT_ONCE = 1 << 14


@dataclasses.dataclass(frozen=True)
class Lights:
    """What shines."""

    distant: Light | None = None
    delta: tuple[DeltaLight, ...] = ()

    def counts(self, samples: int) -> SampleCounts:
        """So many rays of every strategy that can find something."""
        return SampleCounts(samples, samples, samples if self.distant is not None else 0)


class TracedScene:
    """Surfaces as one mesh, and a tracer of it."""

    def __init__(self, surfaces: list[Surface]):
        """Join the triangles."""
        one = joined(surfaces)
        assert one.normals is not None and one.uv is not None
        self.surfaces = surfaces
        faces = torch.from_numpy(one.triangles.astype(np.int64))
        self.mesh = Mesh(torch.from_numpy(one.positions), faces)
        self.tracer: Tracer = get_tracer(self.mesh)
        self._normals, self._uv = torch.from_numpy(one.normals), torch.from_numpy(one.uv)
        self._face_normals = self.mesh.face_normals()
        self._du = _tangents(self.mesh, self._uv)
        self._last = np.cumsum([len(surface.triangles) for surface in surfaces])

    def points(
        self, origins: Float[Tensor, "R 3"], directions: Float[Tensor, "R 3"]
    ) -> tuple[SurfacePoints, Int[Tensor, " P"]]:
        """What rays meet first, and which of the rays met anything."""
        hits = self.tracer.hit(origins, directions)
        rays = (hits.triangle >= 0).nonzero()[:, 0]
        triangle, weights = hits.triangle[rays], hits.barycentrics[rays]
        position, normal, uv = (
            interpolate(values, self.mesh.faces, triangle, weights)
            for values in (self.mesh.vertices, self._normals, self._uv)
        )
        normal, view = torch.nn.functional.normalize(normal, dim=-1), -directions[rays]
        facing = self._face_normals[triangle]
        facing = torch.where((facing * view).sum(-1, keepdim=True) < 0, -facing, facing)
        arrays = {"position": position, "uv": uv, "normal": normal, "du": self._du[triangle]}
        found = {name: value.double().numpy() for name, value in arrays.items()}
        found["shape"] = np.searchsorted(self._last, triangle.numpy(), side="right")
        values = torch.from_numpy(values_at(self.surfaces, found, view.double().numpy())).float()
        albedo, normal, roughness, metallic = values.split([3, 3, 1, 1], 1)
        return SurfacePoints(position, normal, facing, view, albedo, roughness, metallic), rays

    def reflected(
        self, points: SurfacePoints, lights: Lights, samples: int, generator: torch.Generator,
        bounce: Bounce | None = None,
    ) -> Float[Tensor, "P 3"]:  # fmt: skip
        """Radiance toward each point's viewer, `samples` rays by each strategy."""
        total = sum(shade_delta(points, lights.delta, self.tracer.occluded), torch.zeros(()))
        if lights.distant is not None or bounce is not None:
            rays = draw_rays(points, lights.distant, lights.counts(samples), generator)
            arriving = incoming(points, rays, lights.distant, self.tracer.occluded, bounce)
            total = total + sum(gather(points, rays, arriving))
        return total

    def bounces(self, lights: Lights, count: int, generator: torch.Generator) -> Bounce | None:
        """Brute force: what is hit is lit as the camera's surfaces are, by a few rays each."""
        if count == 0:
            return None
        beyond = self.bounces(lights, count - 1, generator)

        def bounce(
            origins: Float[Tensor, "R 3"], directions: Float[Tensor, "R 3"]
        ) -> Float[Tensor, "R 3"]:
            points, rays = self.points(origins, directions)
            radiance = self.reflected(points, lights, 1, generator, beyond)
            return torch.zeros_like(origins).index_copy(0, rays, radiance)

        return bounce

    @torch.no_grad()
    def radiance(
        self, origins: Float[Tensor, "R 3"], directions: Float[Tensor, "R 3"], lights: Lights, *,
        samples: int, seed: int, bounce: Bounce | None = None,
    ) -> Float[Tensor, "R 3"]:  # fmt: skip
        """What surfaces send back along each ray; 0 where there are none."""
        generator = torch.Generator().manual_seed(seed)
        total = torch.zeros_like(origins)
        for some in torch.arange(len(origins)).split(POINTS_AT_ONCE // samples + 1):
            points, rays = self.points(origins[some], directions[some])
            total[some[rays]] = self.reflected(points, lights, samples, generator, bounce)
        return total


def camera_rays(
    pose: np.ndarray, fov_x_rad: float, size_px: int, count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "R 3"], Float[Tensor, "R 3"], Int[Tensor, " R"]]:
    """Origins, unit directions and pixels of `count` rays spread over every pixel."""
    pixel = torch.arange(size_px * size_px).repeat_interleave(count)
    jitter = rotated_points(size_px * size_px, count, generator).reshape(-1, 2)
    place = torch.stack([pixel % size_px, pixel // size_px], -1) + jitter
    across = (2.0 * place / size_px - 1.0) * math.tan(0.5 * fov_x_rad)
    local = torch.stack([across[:, 0], -across[:, 1], -torch.ones(len(pixel))], -1)
    turn = torch.from_numpy(pose).float()
    directions = torch.nn.functional.normalize(local @ turn[:3, :3].t(), dim=-1)
    return turn[:3, 3].expand_as(directions).contiguous(), directions, pixel


def _tangents(mesh: Mesh, uv: Float[Tensor, "V 2"]) -> Float[Tensor, "F 3"]:
    """How positions change with the first texture coordinate; 0 where it does not say."""
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    ta, tb, tc = uv[mesh.faces].unbind(1)
    (u1, v1), (u2, v2) = (tb - ta).unbind(-1), (tc - ta).unbind(-1)
    area = u1 * v2 - u2 * v1
    inverse = torch.where(area.abs() > 1e-20, 1.0 / area, 0.0)
    return ((b - a) * v2[:, None] - (c - a) * v1[:, None]) * inverse[:, None]
