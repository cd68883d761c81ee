"""The look of single splats under a light, for baking it into plain SH."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.color import srgb_from_linear
from relight3d.decomposition.physics import Illumination
from relight3d.decomposition.relight import Relighter
from relight3d.decomposition.shade import shade
from relight3d.shading.deferred import GBuffer, reflect, shade_delta
from relight3d.shading.transfer import lobe_visibility_sh


def display_colors(relighter: Relighter) -> Callable[[slice, Tensor], Tensor]:
    """A function of some splats and viewing directions to their sRGB colour.

    Returns:
        (rows, directions [n D 3] from camera to splat) -> display colour [n D 3] in [0, 1], of the
        splats' outer sides. No gradients.
    """
    light = relighter.illumination(relighter.materials.normals)

    @torch.no_grad()
    def colors(rows: slice, directions: Float[Tensor, "n D 3"]) -> Float[Tensor, "n D 3"]:
        linear = _radiance(relighter, light, rows, directions) * relighter.asset.exposure
        return srgb_from_linear(linear.clamp(0.0, 1.0))

    return colors


def _radiance(
    relighter: Relighter, light: Illumination, rows: slice, directions: Float[Tensor, "n D 3"]
) -> Float[Tensor, "n D 3"]:
    """Outgoing linear radiance; every splat and direction is one entry of a G-buffer."""
    count = directions.shape[1]

    def repeated(values: Tensor) -> Tensor:
        return values[rows].repeat_interleave(count, 0)

    found, view = relighter.materials, -directions.flatten(0, 1)
    normals, roughness = repeated(found.normals), repeated(found.roughness)
    visibility = None
    if light.occlusion_sh is not None:
        mirror, _ = reflect(view, normals)
        visibility = lobe_visibility_sh(repeated(light.occlusion_sh), normals, mirror, roughness)
    buffer = GBuffer(
        albedo=repeated(found.albedo_linear),
        roughness=roughness,
        metallic=repeated(found.metallic),
        normal=normals,
        view=view,
        irradiance=None if light.irradiance is None else repeated(light.irradiance),
        specular_visibility=visibility,
        surroundings=light.surroundings,
    )
    total = torch.zeros_like(buffer.albedo)
    if light.environment is not None:
        total = total + shade(buffer, light.environment).radiance
    means = repeated(relighter.gaussians.means)
    for point, seen in zip(light.points, light.point_visibility, strict=True):
        total = total + shade_delta(buffer, means, point, repeated(seen)).radiance
    return total.unflatten(0, (-1, count))
