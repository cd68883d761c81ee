"""The glTF 2.0 metallic-roughness BRDF as pure functions of unit vectors.

Source: glTF 2.0 specification, appendix B.3: GGX normals (Walter et al. 2007) with
alpha = roughness^2, height-correlated Smith shadowing (Heitz 2014), Schlick's Fresnel, a Lambert
base weakened by 1 - F. Vectors point away from the surface and are of unit length.
"""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.conventions import DIELECTRIC_F0

MIN_ROUGHNESS = 0.04
"""Analytic lobes are not evaluated below this: float32 loses the peak of the density there."""

MIN_COSINE = 1e-4
"""n.v and n.l are kept this far from 0 where they divide."""


def ggx_density(
    cos_h: Float[Tensor, "*#batch"], roughness: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    """Density of GGX microfacet normals D(h), Walter et al. 2007.

    Normalised so that the integral of D(h) cos_h over the hemisphere is 1.

    Args:
        cos_h: Cosine between normal and half vector, in [0, 1].
        roughness: Perceptual, in [`MIN_ROUGHNESS`, 1].

    Returns:
        1/steradian. Differentiable in both.
    """
    alpha2 = roughness**4
    return alpha2 / (pi * (cos_h * cos_h * (alpha2 - 1.0) + 1.0) ** 2)


def smith_visibility(
    n_dot_l: Float[Tensor, "*#batch"],
    n_dot_v: Float[Tensor, "*#batch"],
    roughness: Float[Tensor, "*#batch"],
) -> Float[Tensor, "*batch"]:
    """Height-correlated shadowing-masking over 4 n.l n.v, Heitz 2014, Eq. 99.

    Both cosines in (0, 1], roughness in (0, 1]. Differentiable.
    """
    alpha2 = roughness**4
    toward_light = n_dot_v * torch.sqrt(n_dot_l * n_dot_l * (1.0 - alpha2) + alpha2)
    toward_view = n_dot_l * torch.sqrt(n_dot_v * n_dot_v * (1.0 - alpha2) + alpha2)
    return 0.5 / (toward_light + toward_view)


def schlick_weight(cosine: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Schlick's (1 - cos)^5: Fresnel reflectance is F0 + (1 - F0) times this."""
    complement = 1.0 - cosine
    squared = complement * complement
    return squared * squared * complement


def specular_f0(
    albedo: Float[Tensor, "*batch 3"], metallic: Float[Tensor, "*batch 1"]
) -> Float[Tensor, "*batch 3"]:
    """Reflectance at normal incidence: 0.04 for dielectrics, the base colour for metals."""
    return torch.lerp(torch.full_like(albedo, DIELECTRIC_F0), albedo, metallic.expand_as(albedo))


def evaluate(
    normal: Float[Tensor, "*#batch 3"],
    view: Float[Tensor, "*#batch 3"],
    light: Float[Tensor, "*#batch 3"],
    albedo: Float[Tensor, "*#batch 3"],
    roughness: Float[Tensor, "*#batch 1"],
    metallic: Float[Tensor, "*#batch 1"],
) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch 3"]]:
    """BRDF times n.l, as (diffuse, specular); their sum is what multiplies incoming radiance.

    Args:
        normal: Unit.
        view: Unit, toward the camera.
        light: Unit, toward the light.
        albedo: Linear base colour in [0, 1].
        roughness: Perceptual, in [0, 1]; taken as at least `MIN_ROUGHNESS`.
        metallic: In [0, 1].

    Returns:
        Two values in 1/steradian; both 0 for a light below the surface. A view below the surface
        is treated as grazing. Differentiable in everything.
    """
    half = torch.nn.functional.normalize(view + light, dim=-1)
    signed_n_dot_l = (normal * light).sum(-1, keepdim=True)
    n_dot_l = signed_n_dot_l.clamp(MIN_COSINE, 1.0)
    n_dot_v = (normal * view).sum(-1, keepdim=True).clamp(MIN_COSINE, 1.0)
    cos_h = (normal * half).sum(-1, keepdim=True).clamp(0.0, 1.0)
    v_dot_h = (view * half).sum(-1, keepdim=True).clamp(0.0, 1.0)
    rough = roughness.clamp_min(MIN_ROUGHNESS)
    f0 = specular_f0(albedo, metallic.expand(*albedo.shape[:-1], 1))
    fresnel = f0 + (1.0 - f0) * schlick_weight(v_dot_h)
    lobe = ggx_density(cos_h, rough) * smith_visibility(n_dot_l, n_dot_v, rough)
    cosine = torch.where(signed_n_dot_l > 0.0, n_dot_l, torch.zeros_like(n_dot_l))
    diffuse = (1.0 - fresnel) * albedo * ((1.0 - metallic) / pi) * cosine
    return diffuse, fresnel * (lobe * cosine)
