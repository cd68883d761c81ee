"""Physically based shading of drawn channels: split-sum environment, point lights and suns."""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.types import DirectionalLight, Materials, PointLight
from relight3d.decomposition.gbuffer import Drawn, unit
from relight3d.decomposition.shade import shade
from relight3d.shading.deferred import GBuffer, Shaded, reflect, shade_delta
from relight3d.shading.prefilter import PrefilteredEnvironment
from relight3d.shading.transfer import MirrorVisibility, mirror_visibility


@dataclasses.dataclass(frozen=True)
class Illumination:
    """Everything that shines on the splats in one view."""

    environment: PrefilteredEnvironment | None = None
    irradiance: Float[Tensor, "N 3"] | None = None
    """Of each splat from the environment, on the side that faces the camera."""
    occlusion_sh: Float[Tensor, "N 9"] | None = None
    """Visibility for reflections of the environment; None: nothing is occluded, unless
    `channels_of` is given the mirror visibility that follows from it."""
    surroundings: Float[Tensor, "3"] | None = None
    """Radiance that occluded reflections show; None: black."""
    points: Sequence[PointLight | DirectionalLight] = ()
    """Lights without extent."""
    point_visibility: Sequence[Float[Tensor, "N 1"]] = ()
    """Of each splat, per such light."""


def channels_of(
    materials: Materials,
    normals: Float[Tensor, "N 3"],
    means: Float[Tensor, "N 3"],
    center: Float[Tensor, "3"],
    light: Illumination,
    mirror: MirrorVisibility | None = None,
) -> dict[str, Tensor]:
    """What must be drawn so that pixels can be shaded.

    `mirror` is `mirrors` of the light's occlusion where that is kept from step to step.
    """
    channels = {
        "normal": normals,
        "albedo": materials.albedo_linear,
        "roughness": materials.roughness,
        "metallic": materials.metallic,
        "progress": materials.progress,
    }
    if light.environment is not None:
        assert light.irradiance is not None
        channels["irradiance"] = light.irradiance
        if mirror is None and light.occlusion_sh is not None:
            mirror = mirrors(light.occlusion_sh, normals, means, center)
        if mirror is not None:
            channels["mirror_visibility"] = mirror.blurred(materials.roughness.detach())
    if light.points:
        channels["position"] = means
        for index, visibility in enumerate(light.point_visibility):
            channels[f"point_visibility_{index}"] = visibility
    return channels


def mirrors(
    occlusion_sh: Float[Tensor, "N 9"],
    normals: Float[Tensor, "N 3"],
    means: Float[Tensor, "N 3"],
    center: Float[Tensor, "3"],
) -> MirrorVisibility:
    """What splats let a camera at `center` see in their mirror directions."""
    view = torch.nn.functional.normalize(center - means, dim=-1)
    return mirror_visibility(occlusion_sh, normals, reflect(view, normals)[0])


def shade_drawn(drawn: Drawn, light: Illumination, *, diffuse: bool = True) -> Float[Tensor, "P 3"]:
    """Linear radiance of the covered pixels. Differentiable in all channels and lights.

    Args:
        drawn: Channels of `channels_of`.
        light: The same light.
        diffuse: False leaves only the specular part (stage 2 of PRD).
    """
    visibility = None
    if "mirror_visibility" in drawn.maps:
        visibility = drawn.at_covered("mirror_visibility").clamp(0.0, 1.0)
    buffer = GBuffer(
        albedo=drawn.at_covered("albedo"),
        roughness=drawn.at_covered("roughness"),
        metallic=drawn.at_covered("metallic"),
        normal=unit(drawn.at_covered("normal"), 1e-6),
        view=drawn.view_directions(),
        irradiance=drawn.at_covered("irradiance") if "irradiance" in drawn.maps else None,
        specular_visibility=visibility,
        surroundings=light.surroundings,
    )
    total = torch.zeros_like(buffer.albedo)
    if light.environment is not None:
        total = total + _chosen(shade(buffer, light.environment), diffuse)
    for index, point in enumerate(light.points):
        seen = drawn.at_covered(f"point_visibility_{index}").clamp(0.0, 1.0)
        part = shade_delta(buffer, drawn.at_covered("position"), point, seen)
        total = total + _chosen(part, diffuse)
    return total


def _chosen(shaded: Shaded, diffuse: bool) -> Tensor:
    return shaded.radiance if diffuse else shaded.specular
