"""Small scenes shared by the tests of all rooms, made from a seed."""

import dataclasses
import math

import torch
from torch import Tensor

from relight3d.core.rotation import multiply_quaternions
from relight3d.core.types import Cameras, Gaussians


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a rasterizer takes."""

    gaussians: Gaussians
    features: Tensor
    cameras: Cameras

    def leaves(self, dtype: torch.dtype = torch.float32) -> "Scene":
        """A copy whose tensors ask for gradients, in another floating type."""
        fresh = [x.detach().to(dtype).requires_grad_() for x in self.tensors().values()]
        return Scene(Gaussians(*fresh[:4]), fresh[4], self.cameras.to(dtype=dtype))

    def tensors(self) -> dict[str, Tensor]:
        """The differentiable inputs by name."""
        geometry = {f.name: getattr(self.gaussians, f.name) for f in dataclasses.fields(Gaussians)}
        return {**geometry, "features": self.features}


def orbit(
    count: int, width: int, height: int, distance: float = 4.0, focal_px: float | None = None
) -> Cameras:
    """Cameras around the z axis, 20 degrees up, looking at the origin; the first from +x."""
    azimuth = torch.arange(count, dtype=torch.float64) * (2 * math.pi / max(count, 1)) + 0.3
    up = torch.full_like(azimuth, math.radians(20))
    centre = distance * torch.stack(
        [azimuth.cos() * up.cos(), azimuth.sin() * up.cos(), up.sin()], -1
    )
    forward = -centre / distance
    right = torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0]).double().expand(count, 3))
    right = right / right.norm(dim=-1, keepdim=True)
    pose = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    pose[:, :3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward], 1)
    pose[:, :3, 3] = -(pose[:, :3, :3] @ centre[..., None]).squeeze(-1)
    focal = focal_px or 1.7 * min(width, height)
    intrinsics = torch.tensor([[focal, 0, 0.5 * width], [0, focal, 0.5 * height], [0, 0, 1]])
    return Cameras(pose.float(), intrinsics.float().repeat(count, 1, 1), width, height)


def bumpy_sphere(
    count: int,
    channels: int = 3,
    width: int = 61,
    height: int = 45,
    views: int = 1,
    seed: int = 0,
    scale: float = 0.7,
) -> Scene:
    """Flat Gaussians on a bumpy unit sphere, their thin axis along the normal; float32.

    Quaternions have random lengths, and a few splats are awkward on purpose: close to the camera,
    off the image (where the Jacobian is clamped), tiny.
    """
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    normals = torch.nn.functional.normalize(random(count, 3), dim=-1)
    bumps = 1 + 0.06 * torch.sin(7 * normals[:, 0]) * torch.sin(6 * normals[:, 1] + 1)
    means = normals * (bumps + 0.01 * random(count))[:, None]
    scales = (0.5 * random(count, 3)).exp() * math.sqrt(4 * math.pi / max(count, 1)) * scale
    scales[:, 2] *= 0.1
    # The shortest turn from z to the normal, after a random turn about z.
    tilt = torch.stack([1 + normals[:, 2], -normals[:, 1], normals[:, 0], 0 * bumps], -1)
    roll = random(count)
    spin = torch.stack([roll.cos(), 0 * roll, 0 * roll, roll.sin()], -1)
    quats = multiply_quaternions(torch.nn.functional.normalize(tilt, dim=-1), spin)
    quats = quats * (0.5 + torch.rand(count, 1, generator=generator, dtype=torch.float64))
    opacities = torch.sigmoid(1.5 * random(count) + 0.5)
    if count >= 100:
        means[:3] = torch.tensor([[3.0, 0.9, 1.2], [0.1, 3.4, 0.2], [3.2, 0.8, 1.0]]).double()
        scales[1] = torch.tensor([0.9, 0.5, 0.4])
        scales[5] *= 0.01
    parts = (means, quats, scales, opacities)
    features = torch.rand(count, channels, generator=generator, dtype=torch.float64)
    gaussians = Gaussians(*[part.float() for part in parts])
    return Scene(gaussians, features.float(), orbit(views, width, height))


def four_splats() -> Scene:
    """Four overlapping splats in front of one 20 x 12 camera, tuned by hand to be smooth.

    Every splat covers every pixel with an alpha well between the threshold and the clamp, no pixel
    gets opaque, and depths are apart: finite differences meet no jump.
    """
    means = [[0.1, 0.0, 2.0], [-0.2, 0.1, 2.5], [0.05, -0.15, 3.0], [0.2, 0.2, 3.6]]
    quats = [
        [1.0, 0.1, -0.2, 0.3],
        [0.7, 0.3, 0.2, -0.4],
        [2.0, -0.5, 0.1, 0.6],
        [0.4, 0.1, 0.5, 0.2],
    ]
    scales = [[0.8, 0.6, 0.3], [1.0, 0.7, 0.9], [0.9, 1.2, 0.6], [1.1, 0.9, 1.4]]
    features = [[1.0, 0.2, -0.3], [0.1, 0.9, 0.4], [0.3, -0.6, 0.8], [0.5, 0.5, 0.1]]
    gaussians = Gaussians(
        torch.tensor(means),
        torch.tensor(quats),
        torch.tensor(scales),
        torch.tensor([0.6, 0.4, 0.7, 0.5]),
    )
    intrinsics = torch.tensor([[[24.0, 0.0, 10.3], [0.0, 26.0, 5.8], [0.0, 0.0, 1.0]]])
    return Scene(gaussians, torch.tensor(features), Cameras(torch.eye(4)[None], intrinsics, 20, 12))
