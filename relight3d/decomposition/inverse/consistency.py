"""Radiometric consistency: physics and radiance field agree, from anywhere and not only in photos.

Source: RadioGS (arXiv:2603.01491): radiance that leaves a surfel, by its material under the traced
light, against the radiance that the field holds for that direction.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.core import sh
from relight3d.core.color import srgb_from_linear
from relight3d.core.radiance import radiance_srgb
from relight3d.core.types import Gaussians, Materials, Splats
from relight3d.shading.montecarlo.estimator import SurfacePoints

OPAQUE = 0.5
"""Fainter splats show what lies behind them too."""


def chosen_splats(
    gaussians: Gaussians,
    rows: Int[Tensor, " n"],
    outward: Float[Tensor, "N 3"],
    center: Float[Tensor, "3"],
    progress: Float[Tensor, "N 1"],
    count: int,
    generator: torch.Generator,
) -> Int[Tensor, " m"]:
    """Some of the splats that a camera at `center` shows and sees from their outer side."""
    facing = ((center - gaussians.means[rows]) * outward[rows]).sum(-1) > 0
    solid = (gaussians.opacities[rows] > OPAQUE) & (progress[rows, 0] > OPAQUE) & facing
    index = rows[solid]
    return index[torch.randperm(len(index), generator=generator)[:count]]


def splat_points(
    materials: Materials,
    places: tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]],
    rows: Int[Tensor, " m"],
    center: Float[Tensor, "3"],
) -> SurfacePoints:
    """Splats as points that light falls on, seen from `center`. Differentiable in materials.

    `places` are those of `proxy.vertex_weights.lifted`, of all splats.
    """
    position, geometric = places[0][rows], places[1][rows]
    return SurfacePoints(
        position=position,
        normal=materials.normals[rows],
        geometric_normal=geometric,
        view=torch.nn.functional.normalize(center - position, dim=-1),
        albedo=materials.albedo_linear[rows],
        roughness=materials.roughness[rows],
        metallic=materials.metallic[rows],
    )


def disagreement(
    radiance: Float[Tensor, "m 3"],
    splats: Splats,
    rows: Int[Tensor, " m"],
    center: Float[Tensor, "3"],
) -> Float[Tensor, ""]:
    """Mean difference, display-referred, of linear radiance to what the field shows a camera."""
    coefficients = splats.sh[rows]
    degree = sh.degree_of(coefficients.shape[1])
    shown = radiance_srgb(
        coefficients[:, :1], coefficients[:, 1:], splats.means[rows], center, degree
    )
    return (srgb_from_linear(radiance.clamp_min(0.0)) - shown.clamp(0.0, 1.0)).abs().mean()
