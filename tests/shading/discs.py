"""Opaque discs and an exact, slow stand-in for a rasterizer: every pixel sees the nearest disc."""

import torch

from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.types import Cameras, Gaussians, Raster
from relight3d.shading.directions import spherical_fibonacci


def discs(points: torch.Tensor, normals: torch.Tensor, radius: float) -> Gaussians:
    """Thin Gaussians whose third axis is the normal (none of which may be -z exactly)."""
    x, y, z = normals.unbind(-1)
    quats = torch.stack([1.0 + z, -y, x, torch.zeros_like(x)], -1)
    scales = torch.tensor([radius, radius, 0.01 * radius]).expand(len(points), 3)
    return Gaussians(points, quats, scales, torch.full((len(points),), 0.99))


def ball(count: int = 300, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Gaussians:
    """A closed unit sphere."""
    normals = spherical_fibonacci(count)
    return discs(normals + torch.tensor(center), normals, 3.5 / count**0.5)


def square(half: float, z: float, steps: int = 10) -> Gaussians:
    """A horizontal plate."""
    axis = torch.linspace(-half, half, steps)
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y, torch.full_like(x, z)], -1).reshape(-1, 3)
    return discs(points, torch.tensor([0.0, 0.0, 1.0]).expand_as(points), 1.5 * half / steps)


def join(*parts: Gaussians) -> Gaussians:
    """One set of all of them."""
    return Gaussians(
        *(torch.cat([getattr(part, name) for part in parts]) for name in
          ("means", "quats_wxyz", "scales", "opacities"))
    )  # fmt: skip


def raycast(gaussians: Gaussians, features: torch.Tensor, cameras: Cameras) -> Raster:
    """What a rasterizer returns, for discs that end at one scale and are fully opaque."""
    normals = matrix_from_quaternion(gaussians.quats_wxyz)[:, :, 2]
    drawn, alpha = [], []
    for index in range(len(cameras)):
        pose, k = cameras.world_to_camera[index], cameras.intrinsics[index]
        size = cameras.width_px
        pixel = torch.arange(size) + 0.5
        y, x = torch.meshgrid(
            (pixel - k[1, 2]) / k[1, 1], (pixel - k[0, 2]) / k[0, 0], indexing="ij"
        )
        rays = torch.stack([x, y, torch.ones_like(x)], -1).reshape(-1, 3)
        centers = gaussians.means @ pose[:3, :3].t() + pose[:3, 3]
        planes = normals @ pose[:3, :3].t()
        depth = (planes * centers).sum(-1) / (rays @ planes.t())
        # |ray * depth - center|^2 without the [pixels, discs, 3] intermediate
        distance2 = (rays * rays).sum(-1)[:, None] * depth**2 - 2.0 * depth * (rays @ centers.t())
        distance2 = distance2 + (centers * centers).sum(-1)
        hit = (distance2 < gaussians.scales[:, 0] ** 2) & (depth > 0.0)
        nearest = torch.where(hit, depth, torch.inf).min(-1)
        found = nearest.values.isfinite()
        per_camera = features if features.dim() == 2 else features[index]
        seen = torch.where(found[:, None], per_camera[nearest.indices], 0.0)
        drawn.append(seen.reshape(size, size, -1))
        alpha.append(found.float().reshape(size, size, 1))
    visible = torch.ones(len(cameras), len(gaussians), dtype=torch.bool)
    return Raster(torch.stack(drawn), torch.stack(alpha), visible)
