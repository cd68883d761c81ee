"""The rendering equation by brute force, without occlusion: the oracle for split-sum shading.

Slow and plain. Diffuse is a sum over all texels; specular draws many half vectors from the GGX
density about the normal, looking the map up bilinearly as a mirror would.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.shading import latlong
from relight3d.shading.brdf import (
    MIN_COSINE,
    MIN_ROUGHNESS,
    evaluate,
    schlick_weight,
    smith_visibility,
    specular_f0,
)
from relight3d.shading.deferred import GBuffer, Shaded
from relight3d.shading.environment_brdf import sample_half_vectors


def shade_by_texels(gbuffer: GBuffer, environment: Float[Tensor, "H W 3"]) -> Shaded:
    """Sum `brdf.evaluate` over all texel centres, weighted by solid angle.

    Right for lobes wider than a texel. Memory: P x H x W.
    """
    height, width = environment.shape[:2]
    options = {"device": environment.device, "dtype": environment.dtype}
    lights = latlong.texel_directions(height, width, **options).reshape(1, -1, 3)
    areas = latlong.solid_angles(height, width, **options)
    weighted = (environment * areas[..., None]).reshape(-1, 3)
    diffuse, specular = evaluate(
        gbuffer.normal[:, None],
        gbuffer.view[:, None],
        lights,
        gbuffer.albedo[:, None],
        gbuffer.roughness[:, None],
        gbuffer.metallic[:, None],
    )
    return Shaded((diffuse * weighted).sum(1), (specular * weighted).sum(1))


def shade_by_samples(
    gbuffer: GBuffer, environment: Float[Tensor, "H W 3"], samples: int = 4096
) -> Shaded:
    """As `shade_by_texels`, with the specular part importance-sampled: right for any roughness."""
    normal, view = gbuffer.normal, gbuffer.view
    roughness = gbuffer.roughness.clamp_min(MIN_ROUGHNESS)
    cos_h, azimuth = sample_half_vectors(samples, roughness[:, 0])
    tangent, bitangent = tangent_frame(normal)
    sin_h = torch.sqrt((1.0 - cos_h**2).clamp_min(0.0))
    half = (
        (sin_h * azimuth.cos())[..., None] * tangent[:, None]
        + (sin_h * azimuth.sin())[..., None] * bitangent[:, None]
        + cos_h[..., None] * normal[:, None]
    )
    v_dot_h = (view[:, None] * half).sum(-1, keepdim=True)
    light = 2.0 * v_dot_h * half - view[:, None]
    n_dot_l = (light * normal[:, None]).sum(-1, keepdim=True)
    n_dot_v = (view * normal).sum(-1, keepdim=True).clamp_min(MIN_COSINE)[:, None]
    valid = (n_dot_l > 0.0) & (v_dot_h > 0.0)
    lobe = smith_visibility(n_dot_l.clamp_min(1e-9), n_dot_v, roughness[:, None])
    weight = torch.where(valid, 4.0 * lobe * n_dot_l * v_dot_h / cos_h[..., None], 0.0)
    f0 = specular_f0(gbuffer.albedo, gbuffer.metallic)[:, None]
    fresnel = f0 + (1.0 - f0) * schlick_weight(v_dot_h.clamp(0.0, 1.0))
    specular = (fresnel * weight * latlong.lookup(environment, light)).mean(1)
    return Shaded(shade_by_texels(gbuffer, environment).diffuse, specular)


def tangent_frame(
    normal: Float[Tensor, "P 3"],
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """Two unit vectors that complete unit `normal` to a right-handed frame."""
    steep = normal[:, 2:].abs() > 0.9
    x_axis, z_axis = normal.new_tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    other = torch.where(steep, x_axis, z_axis)
    tangent = torch.nn.functional.normalize(torch.linalg.cross(other, normal), dim=-1)
    return tangent, torch.linalg.cross(normal, tangent)
