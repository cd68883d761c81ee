"""Small assets with a surface, for tests of what leaves as a mesh."""

import dataclasses

import torch

from relight3d.core.rotation import quaternion_from_matrix
from relight3d.core.surface import Mesh, Proxy
from relight3d.core.types import Asset, Materials, Splats
from relight3d.shading.reference import tangent_frame

BOX = torch.tensor([2.0, 1.0, 3.0])
"""Edges of `box_mesh`, which stands on the origin with its corner: no axis is like another."""


def box_mesh(cuts: int = 6) -> Mesh:
    """A closed box from (0, 0, 0) to `BOX`, each face a grid of squares cut into triangles."""
    grid = torch.arange(cuts + 1, dtype=torch.float32) / cuts
    u, v = (plane.flatten() for plane in torch.meshgrid(grid, grid, indexing="ij"))
    row, column = (
        plane.flatten()
        for plane in torch.meshgrid(torch.arange(cuts), torch.arange(cuts), indexing="ij")
    )
    first = row * (cuts + 1) + column
    above = first + cuts + 1
    squares = torch.cat(
        [torch.stack([first, above, above + 1], -1), torch.stack([first, above + 1, first + 1], -1)]
    )
    points, faces = [], []
    for axis in range(3):
        for side in (0.0, 1.0):
            place = torch.zeros(len(u), 3)
            place[:, axis], place[:, (axis + 1) % 3], place[:, (axis + 2) % 3] = side, u, v
            faces.append((squares if side else squares.flip(1)) + len(points) * len(u))
            points.append(place)
    every = torch.cat(points)
    shared, which = (every * cuts).round().unique(dim=0, return_inverse=True)
    return Mesh(shared / cuts * BOX, which[torch.cat(faces)])


def sphere_mesh(rings: int = 24) -> Mesh:
    """A closed unit sphere of quads cut into triangles."""
    polar = torch.linspace(0, torch.pi, rings + 1)[1:-1]
    azimuth = torch.arange(2 * rings) * torch.pi / rings
    around = torch.stack([azimuth.cos(), azimuth.sin()], -1)
    ring = [torch.cat([p.sin() * around, p.cos().expand(2 * rings, 1)], -1) for p in polar]
    poles = torch.tensor([[0.0, 0, 1], [0, 0, -1]])
    faces, count = [], 2 * rings
    for k in range(count):
        n = (k + 1) % count
        faces += [[0, 2 + k, 2 + n]]
        for r in range(rings - 2):
            a, b = 2 + r * count, 2 + (r + 1) * count
            faces += [[a + k, b + k, b + n], [a + k, b + n, a + n]]
        last = 2 + (rings - 2) * count
        faces += [[1, last + n, last + k]]
    return Mesh(torch.cat([poles, *ring]), torch.tensor(faces))


def surface_asset(mesh: Mesh, count: int = 1500, radius: float = 0.07, normals=None) -> Asset:
    """Discs strewn over a mesh, whose materials tell where they are, and the mesh as proxy."""
    generator = torch.Generator().manual_seed(0)
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    areas = torch.cross(b - a, c - a, dim=-1).norm(dim=-1)
    triangle = torch.multinomial(areas, count, replacement=True, generator=generator)
    u, v = torch.rand(2, count, 1, generator=generator)
    u, v = torch.where(u + v > 1, 1 - u, u), torch.where(u + v > 1, 1 - v, v)
    means = a[triangle] + u * (b - a)[triangle] + v * (c - a)[triangle]
    outward = mesh.face_normals()[triangle] if normals is None else normals(means)
    frame = torch.stack([*tangent_frame(outward), outward], -1)
    splats = Splats(
        means=means,
        quats_wxyz=quaternion_from_matrix(frame),
        log_scales=torch.tensor([radius, radius, radius / 50]).log().expand(count, 3).clone(),
        opacity_logits=torch.full((count,), 3.0),
        sh=torch.zeros(count, 1, 3),
    )
    materials = Materials(
        albedo_linear=albedo_at(means),
        roughness=roughness_at(means),
        metallic=metallic_at(means),
        normals=outward,
        progress=torch.ones(count, 1),
        double_sided=torch.full((count, 1), 0.01),
    )
    vertices = mesh.vertices
    proxy = Proxy(
        mesh=mesh,
        normals=mesh.vertex_normals(),
        radiance_linear=torch.zeros_like(vertices),
        views=torch.ones_like(vertices[:, :1]),
        voxel=0.02,
    )
    return Asset(splats, materials, {}, exposure=1.5, proxy=proxy)


def albedo_at(points: torch.Tensor) -> torch.Tensor:
    """Smooth, and another function of place in every channel."""
    return 0.5 + 0.3 * torch.sin(points * torch.tensor([1.5, 2.0, 1.0]))


def roughness_at(points: torch.Tensor) -> torch.Tensor:
    return 0.4 + 0.2 * torch.sin(points[:, :1] + points[:, 1:2])


def metallic_at(points: torch.Tensor) -> torch.Tensor:
    return (points[:, 2:] > 0.5).float()


def without(asset: Asset, **changes) -> Asset:
    """The asset with some fields changed."""
    return dataclasses.replace(asset, **changes)
