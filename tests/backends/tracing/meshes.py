"""Meshes and rays that tests of tracers ask about."""

import math

import torch
from torch import Tensor

from relight3d.core.surface import Mesh


def normalized(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=-1)


def soup(triangles: int, generator: torch.Generator) -> Mesh:
    """Triangles of about a third of the unit cube they fill, through one another."""
    centers = torch.rand(triangles, 1, 3, generator=generator)
    corners = centers + 0.2 * torch.randn(triangles, 3, 3, generator=generator)
    return Mesh(corners.flatten(0, 1), torch.arange(3 * triangles).view(-1, 3))


def sphere(rings: int = 12, segments: int = 24) -> Mesh:
    """A closed unit sphere of latitudes and longitudes, corners shared."""
    polar = math.pi * torch.arange(1, rings) / rings
    around = 2 * math.pi * torch.arange(segments) / segments
    x, y = polar.sin()[:, None] * around.cos(), polar.sin()[:, None] * around.sin()
    z = polar.cos()[:, None].expand_as(x)
    poles = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    vertices = torch.cat([torch.stack([x, y, z], -1).flatten(0, 1), poles])
    here = torch.arange((rings - 1) * segments).view(rings - 1, segments)
    beside = here.roll(-1, 1)
    north, south = (
        torch.full((segments,), len(vertices) - 2),
        torch.full((segments,), len(vertices) - 1),
    )
    quads = [
        torch.stack([here[:-1], here[1:], beside[1:]], -1).flatten(0, 1),
        torch.stack([here[:-1], beside[1:], beside[:-1]], -1).flatten(0, 1),
    ]
    caps = [
        torch.stack([north, here[0], beside[0]], -1),
        torch.stack([south, beside[-1], here[-1]], -1),
    ]
    return Mesh(vertices, torch.cat(quads + caps))


def square() -> Mesh:
    """Two triangles in the plane z = 0, over [-1, 1] in x and y."""
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))


def crossing_rays(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """From all around and within the unit cube, to all sides."""
    origins = 2 * torch.rand(count, 3, generator=generator) - 0.5
    return origins, normalized(torch.randn(count, 3, generator=generator))
