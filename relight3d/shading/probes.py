"""Visibility on a regular grid of probes in free space: bake, and look up anywhere."""

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.types import Gaussians, VisibilityProbes
from relight3d.shading.directions import spherical_fibonacci
from relight3d.shading.shadow_map import Rasterize
from relight3d.shading.transfer import visibility_sh
from relight3d.shading.visibility import bounding_sphere, trace_visibility

_MARGIN = 0.02


@torch.no_grad()
def bake_probes(
    gaussians: Gaussians,
    *,
    rasterize: Rasterize,
    resolution: int = 32,
    degree: int = 2,
    directions: int = 128,
    resolution_px: int = 128,
) -> VisibilityProbes:
    """Visibility of `resolution`^3 probes around nearly all splats, as SH. Not differentiable."""
    sphere = bounding_sphere(gaussians)
    means = gaussians.means.detach()
    lower = torch.maximum(means.amin(0), sphere.center - sphere.radius)
    upper = torch.minimum(means.amax(0), sphere.center + sphere.radius)
    margin = _MARGIN * sphere.radius
    lower, upper = lower - margin, upper + margin
    light = spherical_fibonacci(directions, means.device, means.dtype)
    points = probe_positions(lower, upper, (resolution, resolution, resolution)).reshape(-1, 3)
    seen = trace_visibility(
        gaussians, points, None, light, rasterize=rasterize, resolution_px=resolution_px
    )
    coefficients = visibility_sh(seen, light, degree)
    return VisibilityProbes(lower, upper, coefficients.unflatten(0, (resolution,) * 3))


def probe_positions(
    lower: Float[Tensor, "3"], upper: Float[Tensor, "3"], counts: tuple[int, int, int]
) -> Float[Tensor, "Z Y X 3"]:
    """World positions of the probes: the corners and evenly between."""
    axes = [
        torch.linspace(0.0, 1.0, count, device=lower.device, dtype=lower.dtype) for count in counts
    ]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return lower + torch.stack([x, y, z], -1) * (upper - lower)


def lookup_probes(probes: VisibilityProbes, points: Float[Tensor, "P 3"]) -> Float[Tensor, "P K"]:
    """Trilinear SH of visibility at world positions; outside the grid, its border.

    Points on a surface should be moved off it by about half a cell along the normal. Differentiable
    in the points and the probes.
    """
    grid = (points - probes.lower) / (probes.upper - probes.lower) * 2.0 - 1.0
    found = torch.nn.functional.grid_sample(
        probes.sh.permute(3, 0, 1, 2)[None],
        grid[None, None, None],
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    return found[0, :, 0, 0].t()
