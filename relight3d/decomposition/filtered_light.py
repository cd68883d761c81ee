"""Light known by samples at the pixels of a view, with its noise filtered out."""

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.decomposition.gbuffer import Drawn
from relight3d.decomposition.lit_view import depth_of
from relight3d.shading.brdf import MIN_COSINE
from relight3d.shading.denoise import (
    Guides,
    demodulate,
    denoise,
    diffuse_reflectance,
    floored,
    specular_reflectance,
)
from relight3d.shading.montecarlo.estimator import SurfacePoints
from relight3d.shading.sampled import LightBySamples

LEAST_SAMPLES = 8
"""The halves of fewer samples tell less of the noise than neighbouring pixels do."""


def filtered(
    drawn: Drawn,
    points: SurfacePoints,
    diffuse: LightBySamples,
    specular: LightBySamples,
    samples: int,
) -> Float[Tensor, "P 3"]:
    """Reflected radiance of all covered pixels, denoised apart from what materials make of it.

    Differentiable in the samples' radiance and in albedo, roughness and metallic.

    Args:
        drawn: The view.
        points: All of its covered pixels.
        diffuse: Light reflected by the base.
        specular: Light reflected by the microfacets.
        samples: Rays a pixel.
    """
    n_dot_v = (points.normal * points.view).sum(-1, keepdim=True).clamp_min(MIN_COSINE).detach()
    material = points.albedo, points.metallic
    mirrored = specular_reflectance(*material, points.roughness, n_dot_v)
    kinds = (
        (diffuse, diffuse_reflectance(*material), None),
        (specular, mirrored, points.roughness),
    )
    total = torch.zeros_like(points.albedo)
    for sampled, reflectance, rough in kinds:
        guides = Guides(
            normal=drawn.spread(points.normal.detach(), drawn.alpha),
            depth=depth_of(drawn),
            rays=drawn.rays,
            coverage=drawn.spread(drawn.coverage, drawn.alpha),
            roughness=None if rough is None else drawn.spread(rough.detach(), drawn.alpha),
        )
        light = demodulate(sampled.radiance, reflectance)
        variance = None
        if samples >= LEAST_SAMPLES:
            noise = (sampled.difference / floored(reflectance)).mean(-1, keepdim=True)
            variance = drawn.spread(noise.square().detach(), drawn.alpha)
        clean = denoise(drawn.spread(light, drawn.alpha), guides, variance)
        total = total + drawn.pick(clean) * floored(reflectance)
    return total
