"""What each splat sees of the sky: baked visibility, and the irradiance it lets through."""

import dataclasses

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.core.types import Gaussians
from relight3d.shading.directions import DirectionCells, direction_cells, spherical_fibonacci
from relight3d.shading.transfer import irradiance, visibility_sh
from relight3d.shading.visibility import Sphere, trace_visibility

SH_DEGREE = 2


@dataclasses.dataclass(frozen=True)
class Occlusion:
    """Visibility of N splats over a fixed set of directions."""

    visibility: UInt8[Tensor, "N D"]
    """255 = open sky in that direction."""
    cells: DirectionCells
    sh: Float[Tensor, "N 9"]
    """The same as spherical harmonics of degree 2: soft shadows of reflections."""

    def irradiance(
        self,
        normals: Float[Tensor, "N 3"],
        radiance: Float[Tensor, "D 3"],
        bounce: Float[Tensor, "3"] | None,
    ) -> Float[Tensor, "N 3"]:
        """Irradiance of each splat; differentiable in normals, radiance and bounce.

        Args:
            normals: Unit, on the side that is looked at.
            radiance: Mean sky radiance of each direction's cell.
            bounce: Radiance of whatever occludes the sky (a mean of the object's own), or None.
        """
        seen = self.visibility.float() / 255.0
        cells = self.cells
        if bounce is not None:
            # One product for both: open directions show the sky, closed ones the bounce.
            radiance = torch.cat([radiance - bounce, torch.ones_like(radiance[:, :1])], -1)
            both = irradiance(seen, normals, cells.directions, radiance, cells.solid_angle)
            return (both[:, :3] + torch.pi * bounce).clamp_min(0.0)
        return irradiance(seen, normals, cells.directions, radiance, cells.solid_angle)


def bake(
    gaussians: Gaussians,
    *,
    rasterize: Rasterizer,
    count: int,
    environment_height: int,
    shadow_map_px: int,
    sphere: Sphere | None = None,
) -> Occlusion:
    """Trace visibility from every splat. Not differentiable."""
    directions = spherical_fibonacci(count, device=gaussians.means.device)
    seen = trace_visibility(
        gaussians, gaussians.means, None, directions,
        rasterize=rasterize, resolution_px=shadow_map_px, sphere=sphere,
    )  # fmt: skip
    return from_visibility((seen * 255.0).round().to(torch.uint8), environment_height)


def from_visibility(visibility: UInt8[Tensor, "N D"], environment_height: int) -> Occlusion:
    """The record, from what a checkpoint holds."""
    directions = spherical_fibonacci(visibility.shape[1], device=visibility.device)
    cells = direction_cells(directions, environment_height)
    sh = visibility_sh(visibility.float() / 255.0, directions, SH_DEGREE)
    return Occlusion(visibility, cells, sh)


def open_sky(gaussians: Gaussians, count: int, environment_height: int) -> Occlusion:
    """No occlusion at all: before visibility is baked."""
    shape = (len(gaussians), count)
    everything = torch.full(shape, 255, dtype=torch.uint8, device=gaussians.means.device)
    return from_visibility(everything, environment_height)
