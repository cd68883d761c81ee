"""Balls and walls of splats, and photos of them: what tests of fitting look at."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.core import sh
from relight3d.core.photos import Photo
from relight3d.core.radiance import radiance_srgb
from relight3d.core.types import Cameras, Splats
from relight3d.core.views import View, ViewLight

DEFAULT_LIGHT = ViewLight()


def turned_to(normals: Tensor) -> Tensor:
    """Quaternions whose local z is each normal; not for (0, 0, -1)."""
    x, y, z = normals.unbind(-1)
    quats = torch.stack([1 + z, -y, x, torch.zeros_like(x)], -1)
    return torch.nn.functional.normalize(quats, dim=-1)


def discs(
    means: Tensor, normals: Tensor, size: float, colors: Tensor, opacity: float = 0.97
) -> Splats:
    """Flat round splats of one size, colour [N, 3] in sRGB, view dependence of degree 1 (none)."""
    count = len(means)
    coefficients = torch.zeros(count, 4, 3)
    coefficients[:, 0] = (colors - 0.5) / sh.C0
    scales = torch.tensor([size, size, 0.02 * size]).log().expand(count, 3).clone()
    logits = torch.full((count,), math.log(opacity / (1 - opacity)))
    return Splats(means, turned_to(normals), scales, logits, coefficients)


def ball(count: int = 300, color: Sequence[float] = (0.6, 0.4, 0.3), radius: float = 1.0) -> Splats:
    """An opaque ball about the origin; its upper half is darker."""
    normals = sh.even_directions(count).float()
    shade = torch.where(normals[:, 2:] > 0, 0.7, 1.0)
    size = 0.8 * radius * math.sqrt(4 * math.pi / count)
    return discs(radius * normals, normals, size, torch.tensor(color) * shade)


def view_of(cameras: Cameras, index: int, light: ViewLight = DEFAULT_LIGHT) -> View:
    return View(
        name=f"{index:03d}",
        image_path=Path(f"{index:03d}.png"),
        width_px=cameras.width_px,
        height_px=cameras.height_px,
        intrinsics=cameras.intrinsics[index].numpy().astype("float64"),
        world_to_camera=cameras.world_to_camera[index].numpy().astype("float64"),
        light=light,
    )


def photo_from(
    rgb: Tensor, alpha: Tensor, view: View, *, masked: bool = True, gain: float = 1.0
) -> Photo:
    """A photo of premultiplied colour and coverage; without mask it lies over black."""
    straight = rgb / alpha.clamp_min(1e-3) if masked else rgb
    coverage = (alpha * 255).round().to(torch.uint8)
    return Photo(view, (gain * straight).clamp(0.0, 1.0), coverage if masked else None)


def photos_of(
    splats: Splats,
    cameras: Cameras,
    rasterize: Rasterizer,
    *,
    lights: Sequence[ViewLight] | None = None,
    masked: bool = True,
    gains: Sequence[float] | None = None,
) -> list[Photo]:
    """Photos of the splats' own colours."""
    found = []
    for index in range(len(cameras)):
        one = cameras[index : index + 1]
        color = radiance_srgb(splats.sh[:, :1], splats.sh[:, 1:], splats.means, one.centers[0], 1)
        raster = rasterize(splats.gaussians(), color, one)
        view = view_of(cameras, index, lights[index] if lights else DEFAULT_LIGHT)
        gain = gains[index] if gains else 1.0
        found.append(
            photo_from(raster.features[0], raster.alpha[0], view, masked=masked, gain=gain)
        )
    return found
