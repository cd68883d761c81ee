"""What each splat sees of the sky: baked visibility, and the irradiance it lets through."""

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.core.types import Gaussians
from relight3d.decomposition.irradiance import irradiance
from relight3d.decomposition.scope import within
from relight3d.decomposition.shadows import trace_visibility
from relight3d.shading.bounce import surroundings_radiance
from relight3d.shading.directions import DirectionCells, direction_cells, spherical_fibonacci
from relight3d.shading.transfer import visibility_sh
from relight3d.shading.visibility import Sphere

SH_DEGREE = 2


@dataclasses.dataclass(frozen=True)
class Occlusion:
    """Visibility of N splats over a fixed set of directions."""

    cells: DirectionCells
    weights: Float[Tensor, "N D"]
    """Visibility in [0, 1] times the solid angle of each direction's cell."""
    sh: Float[Tensor, "N 9"]
    """The same as spherical harmonics of degree 2: soft shadows of reflections."""

    def irradiance(
        self,
        normals: Float[Tensor, "n 3"],
        radiance: Float[Tensor, "D 3"],
        rows: Int[Tensor, " n"] | None = None,
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 1"]]:
        """Irradiance past the occluders, and the open share of the sky as the surface weighs it.

        Differentiable in normals and radiance.

        Args:
            normals: Unit, on the side that is looked at.
            radiance: Mean sky radiance of each direction's cell.
            rows: Which splats these are; None: all.
        """
        with_ones = torch.cat([radiance, torch.ones_like(radiance[:, :1])], -1)
        both = irradiance(self.weights, normals, self.cells.directions, with_ones, rows)
        return both[:, :3], (both[:, 3:] / torch.pi).clamp_max(1.0)

    def surroundings(
        self,
        diffuse_albedo: Float[Tensor, "n 3"],
        normals: Float[Tensor, "n 3"],
        radiance: Float[Tensor, "D 3"],
        share: Float[Tensor, "n 1"],
        rows: Int[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "3"]:
        """Mean radiance of the object's own surfaces under this sky, all bounces; see `bounce`."""
        direct, open_share = self.irradiance(normals, radiance, rows)
        return surroundings_radiance(diffuse_albedo, direct, open_share, share)


def bake(
    gaussians: Gaussians,
    normals: Float[Tensor, "N 3"],
    *,
    rasterize: Rasterizer,
    count: int,
    environment_height: int,
    shadow_map_px: int,
    sphere: Sphere | None = None,
    occluders: Gaussians | None = None,
) -> Occlusion:
    """Trace visibility from every splat; normals of either sign. Not differentiable.

    Occluders are those given, else the splats inside the sphere: what is beyond is the light's.
    """
    occluders = within(gaussians, sphere) if occluders is None else occluders
    directions = spherical_fibonacci(count, device=gaussians.means.device)
    seen = trace_visibility(
        occluders, gaussians.means, normals, directions,
        rasterize=rasterize, resolution_px=shadow_map_px, sphere=sphere,
    )  # fmt: skip
    cells = direction_cells(directions, environment_height)
    sh = visibility_sh(seen, directions, SH_DEGREE)
    return Occlusion(cells, seen * cells.solid_angle, sh)
