"""A ball that rays hit exactly, and the proxy mesh that stands for it."""

import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from relight3d.backends.tracing.interface import Hits
from relight3d.core import sh
from relight3d.core.surface import Mesh, Proxy, SurfaceMaterials


def ball_proxy(radius: float = 1.0, count: int = 400, height: float = 0.0) -> Proxy:
    """A triangulated ball about (0, 0, height)."""
    vertices = sh.even_directions(count).float()
    faces = torch.from_numpy(ConvexHull(vertices.numpy()).simplices).long()
    corners = vertices[faces]
    outward = torch.linalg.det(corners) > 0
    faces = torch.where(outward[:, None], faces, faces.flip(1))
    center = torch.tensor([0.0, 0.0, height])
    one = torch.ones(count, 1)
    mesh = Mesh(radius * vertices + center, faces)
    materials = SurfaceMaterials(0.5 * one.expand(-1, 3), 0.8 * one, 0.0 * one)
    return Proxy(mesh, vertices, 0.2 * one.expand(-1, 3), one, 0.05 * radius, materials)


class BallTracer:
    """The two questions of `backends.tracing.interface.Tracer`, of the round ball itself."""

    def __init__(self, proxy: Proxy, radius: float = 1.0, height: float = 0.0):
        self._middles = proxy.mesh.vertices[proxy.mesh.faces].mean(1)
        self._center, self._radius = torch.tensor([0.0, 0.0, height]), radius

    def occluded(self, origins: Tensor, directions: Tensor, far: Tensor | None = None) -> Tensor:
        limit = torch.inf if far is None else far
        return self._distance(origins, directions) < limit

    def hit(self, origins: Tensor, directions: Tensor, far: Tensor | None = None) -> Hits:
        distance = self._distance(origins, directions)
        found = distance.isfinite() if far is None else distance < far
        places = origins + torch.where(found, distance, 0.0)[:, None] * directions
        nearest = torch.cdist(places, self._middles).argmin(-1)
        return Hits(
            torch.where(found, distance, torch.inf),
            torch.where(found, nearest, -1),
            torch.where(found[:, None], 1 / 3, torch.zeros(len(origins), 2)),
        )

    def _distance(self, origins: Tensor, directions: Tensor) -> Tensor:
        offset = origins - self._center
        half = (offset * directions).sum(-1)
        inside = half**2 - (offset * offset).sum(-1) + self._radius**2
        root = inside.clamp_min(0.0).sqrt()
        near, away = -half - root, -half + root
        distance = torch.where(near > 0, near, away)
        return torch.where((inside > 0) & (distance > 0), distance, torch.inf)
