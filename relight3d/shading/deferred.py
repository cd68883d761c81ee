"""Deferred shading: covered pixels' material and geometry, and a light, to outgoing radiance.

Everything is a flat batch of P pixels; nothing here knows images or splats.
"""

import dataclasses
from math import pi

from jaxtyping import Float
from torch import Tensor

from relight3d.core.types import DirectionalLight, PointLight
from relight3d.shading.brdf import MIN_COSINE, evaluate, specular_f0
from relight3d.shading.environment_brdf import environment_brdf
from relight3d.shading.prefilter import PrefilteredEnvironment


@dataclasses.dataclass(frozen=True)
class GBuffer:
    """What the surface is at each of P pixels."""

    albedo: Float[Tensor, "P 3"]
    """Linear base colour in [0, 1]."""
    roughness: Float[Tensor, "P 1"]
    """Perceptual, in [0, 1]."""
    metallic: Float[Tensor, "P 1"]
    """In [0, 1]."""
    normal: Float[Tensor, "P 3"]
    """Unit, world."""
    view: Float[Tensor, "P 3"]
    """Unit, world, from the surface to the camera."""
    irradiance: Float[Tensor, "P 3"] | None = None
    """Occluded irradiance, if known; else the environment's own by normal."""
    specular_visibility: Float[Tensor, "P 1"] | None = None
    """Share of the reflected lobe that is unoccluded, in [0, 1]; None means all of it."""
    surroundings: Float[Tensor, "3"] | None = None
    """Radiance of whatever occludes the rest of the lobe (see `bounce`); None means black."""


@dataclasses.dataclass(frozen=True)
class Shaded:
    """Outgoing linear radiance, in its two parts."""

    diffuse: Float[Tensor, "P 3"]
    specular: Float[Tensor, "P 3"]

    @property
    def radiance(self) -> Float[Tensor, "P 3"]:
        """Both parts together."""
        return self.diffuse + self.specular


def reflect(
    view: Float[Tensor, "P 3"], normal: Float[Tensor, "P 3"]
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 1"]]:
    """The mirror direction of unit `view` about unit `normal`, and n.v (signed)."""
    n_dot_v = (normal * view).sum(-1, keepdim=True)
    return 2.0 * n_dot_v * normal - view, n_dot_v


def shade(
    gbuffer: GBuffer, environment: PrefilteredEnvironment, multiscatter: bool = False
) -> Shaded:
    """Split-sum shading under an environment (Karis 2013), glTF's BRDF; see `environment_brdf`.

    Args:
        gbuffer: The surface.
        environment: From `Prefilter`.
        multiscatter: Return the energy that rough microfacets lose to multiple scattering
            (Fdez-Aguera 2019, first-order form). glTF's core BRDF, and so the default, does not.

    Returns:
        Linear radiance. Differentiable in the G-buffer and the environment.
    """
    reflection, n_dot_v = reflect(gbuffer.view, gbuffer.normal)
    table = environment_brdf(gbuffer.roughness, n_dot_v.clamp(MIN_COSINE, 1.0))
    f0 = specular_f0(gbuffer.albedo, gbuffer.metallic)
    reflectance = f0 * table.scale + table.bias
    if multiscatter:
        missing = 1.0 / (table.scale + table.bias).clamp_min(0.05) - 1.0
        reflectance = reflectance * (1.0 + f0 * missing)
    center = table.along_normal * gbuffer.normal + table.along_reflection * reflection
    reflected = environment.specular(center, gbuffer.roughness * table.width)
    if gbuffer.specular_visibility is not None:
        occluder = 0.0 if gbuffer.surroundings is None else gbuffer.surroundings
        reflected = occluder + gbuffer.specular_visibility * (reflected - occluder)
    specular = reflectance * reflected
    irradiance = gbuffer.irradiance
    if irradiance is None:
        irradiance = environment.irradiance(gbuffer.normal)
    base = gbuffer.albedo * ((1.0 - gbuffer.metallic) * (1.0 - table.diffuse_schlick) / pi)
    return Shaded(base * (1.0 - f0) * irradiance, specular)


def shade_delta(
    gbuffer: GBuffer,
    positions: Float[Tensor, "P 3"],
    light: PointLight | DirectionalLight,
    visibility: Float[Tensor, "P 1"] | None = None,
) -> Shaded:
    """Direct light of one light without extent; `irradiance` and the like are not used.

    Args:
        gbuffer: The surface.
        positions: World positions of the surface points.
        light: A point light, or parallel light.
        visibility: Share of the light that arrives, in [0, 1]; None means all.

    Returns:
        Linear radiance. Differentiable in the G-buffer, positions and visibility.
    """
    if isinstance(light, DirectionalLight):
        to_light = positions.new_tensor(light.direction).expand_as(positions)
        squared = (to_light * to_light).sum(-1, keepdim=True)
        arriving = positions.new_tensor(light.irradiance_linear).expand_as(positions)
    else:
        to_light = positions.new_tensor(light.position) - positions
        squared = (to_light * to_light).sum(-1, keepdim=True).clamp_min(1e-8)
        arriving = positions.new_tensor(light.intensity_linear) / squared
    if visibility is not None:
        arriving = arriving * visibility
    diffuse, specular = evaluate(
        gbuffer.normal,
        gbuffer.view,
        to_light * squared.rsqrt(),
        gbuffer.albedo,
        gbuffer.roughness,
        gbuffer.metallic,
    )
    return Shaded(diffuse * arriving, specular * arriving)
