"""Every ray against every triangle, in torch: the oracle of the other tracers.

Moeller and Trumbore, Fast, Minimum Storage Ray/Triangle Intersection (1997), without culling. Any
device, in the floating type of the rays; float64 leaves no gap worth the name between neighbours.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.backends.tracing.interface import Hits
from relight3d.backends.tracing.rays import no_hits
from relight3d.core.surface import Mesh

PAIRS_AT_ONCE = 1 << 20
"""Rays times triangles of one block; about 100 bytes each in float64."""


class ReferenceTracer:
    """`interface.Tracer` by brute force."""

    def __init__(self, mesh: Mesh) -> None:
        """Keep the triangles' first corners and the two edges that start there."""
        corner, second, third = mesh.vertices.detach()[mesh.faces].unbind(1)
        self._corner, self._edges = corner, (second - corner, third - corner)

    @torch.no_grad()
    def occluded(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        far: Float[Tensor, " R"] | None = None,
    ) -> Bool[Tensor, " R"]:
        """See `interface.Tracer.occluded`."""
        return self.hit(origins, directions, far).triangle >= 0

    @torch.no_grad()
    def hit(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        far: Float[Tensor, " R"] | None = None,
    ) -> Hits:
        """See `interface.Tracer.hit`."""
        if len(self._corner) == 0 or len(origins) == 0:
            return no_hits(origins)
        if far is None:
            far = torch.full_like(origins[:, 0], torch.inf)
        rays = max(1, PAIRS_AT_ONCE // len(self._corner))
        blocks = [
            self._nearest(*block)
            for block in zip(
                origins.split(rays), directions.split(rays), far.split(rays), strict=True
            )
        ]
        distance, triangle, barycentrics = (torch.cat(part) for part in zip(*blocks, strict=True))
        return Hits(distance.to(origins), triangle, barycentrics.to(origins))

    def _nearest(self, origins: Tensor, directions: Tensor, far: Tensor) -> tuple[Tensor, ...]:
        corner, edge1, edge2 = (x.to(origins) for x in (self._corner, *self._edges))
        across = torch.cross(directions[:, None], edge2[None], dim=-1)
        determinant = (across * edge1).sum(-1)
        from_corner = origins[:, None] - corner
        u = (from_corner * across).sum(-1) / determinant
        around = torch.cross(from_corner, edge1.expand_as(from_corner), dim=-1)
        v = (directions[:, None] * around).sum(-1) / determinant
        t = (edge2 * around).sum(-1) / determinant
        # Comparisons with NaN are false: rays that are not finite, triangles without area.
        inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < far[:, None])
        distance, triangle = torch.where(inside, t, torch.inf).min(-1)
        found = distance < torch.inf
        weights = torch.stack([x.gather(1, triangle[:, None])[:, 0] for x in (u, v)], -1)
        return (
            distance,
            torch.where(found, triangle, -1),
            torch.where(found[:, None], weights, 0.0),
        )
