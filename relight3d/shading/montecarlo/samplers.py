"""Directions that a surface asks for: by the cosine, and by the microfacets a viewer sees.

Random numbers `u` are uniform in [0, 1)^2; all batches broadcast. Densities are per steradian of
the light's direction. Nothing here is meant to be differentiated: directions are drawn, then fixed.
"""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.shading.brdf import MIN_COSINE, MIN_ROUGHNESS
from relight3d.shading.montecarlo.planes import TINY, dot, stack_planes, unit
from relight3d.shading.reference import tangent_frame


def sample_sphere(u: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3"]:
    """Uniform unit directions."""
    z = 1.0 - 2.0 * u[..., 1]
    radius, azimuth = torch.sqrt((1.0 - z * z).clamp_min(0.0)), u[..., 0] * (2.0 * pi)
    return stack_planes(radius * azimuth.cos(), radius * azimuth.sin(), z)


def sample_cosine(
    u: Float[Tensor, "*#batch 2"], normal: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Unit directions with density n.l / pi about unit `normal`: to a point of its unit ball."""
    return unit(sample_sphere(u) + normal)


def cosine_density(
    normal: Float[Tensor, "*#batch 3"], direction: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch"]:
    """Density of `sample_cosine`; 0 below the horizon."""
    return dot(normal, direction).clamp_min(0.0) * (1.0 / pi)


def sample_ggx(
    u: Float[Tensor, "*#batch 2"],
    normal: Float[Tensor, "*#batch 3"],
    view: Float[Tensor, "*#batch 3"],
    roughness: Float[Tensor, "*#batch 1"],
) -> Float[Tensor, "*batch 3"]:
    """`view` mirrored by a microfacet that it sees, GGX with the BRDF's alpha = roughness^2.

    Source: Dupuy and Benyoub 2023, "Sampling visible GGX normals with spherical caps".

    Args:
        u: Random numbers.
        normal: Unit.
        view: Unit, toward the camera; one below the horizon is lifted to it.
        roughness: Perceptual; taken as at least `MIN_ROUGHNESS`.

    Returns:
        Unit directions toward the light; some lie below the horizon.
    """
    seen = lifted(view, normal)
    tangent, bitangent = (
        axis.reshape(normal.shape) for axis in tangent_frame(normal.reshape(-1, 3))
    )
    alpha = roughness[..., 0].clamp_min(MIN_ROUGHNESS).square()
    x, y, z = dot(seen, tangent), dot(seen, bitangent), dot(seen, normal)
    stretched = unit(stack_planes(*torch.broadcast_tensors(alpha * x, alpha * y, z)))
    sx, sy, sz = stretched.unbind(-1)
    azimuth = u[..., 0] * (2.0 * pi)
    height = (1.0 - u[..., 1]) * (1.0 + sz) - sz  # uniform on the cap that the viewer sees
    radius = torch.sqrt((1.0 - height * height).clamp_min(0.0))
    hx = (radius * azimuth.cos() + sx) * alpha
    hy = (radius * azimuth.sin() + sy) * alpha
    hz = (height + sz).clamp_min(0.0)
    inverse = (hx * hx + hy * hy + hz * hz).clamp_min(TINY).rsqrt()
    hx, hy, hz = hx * inverse, hy * inverse, hz * inverse
    twice = 2.0 * (x * hx + y * hy + z * hz)
    return stack_planes(
        *(
            twice * (hx * t + hy * b + hz * n) - v
            for t, b, n, v in zip(
                tangent.unbind(-1),
                bitangent.unbind(-1),
                normal.unbind(-1),
                seen.unbind(-1),
                strict=True,
            )
        )
    )


def ggx_density(
    normal: Float[Tensor, "*#batch 3"],
    view: Float[Tensor, "*#batch 3"],
    direction: Float[Tensor, "*#batch 3"],
    roughness: Float[Tensor, "*#batch 1"],
) -> Float[Tensor, "*batch"]:
    """Density of `sample_ggx`: G1(v) D(h) / (4 n.v). Integrates to 1 over the whole sphere."""
    seen = lifted(view, normal)
    half = unit(seen + direction)
    alpha2 = roughness[..., 0].clamp_min(MIN_ROUGHNESS) ** 4
    sine2, above = sine2_to_half(normal, half)
    n_dot_v = dot(seen, normal).clamp(MIN_COSINE, 1.0)
    masking = 0.5 / (n_dot_v + torch.sqrt(n_dot_v * n_dot_v * (1.0 - alpha2) + alpha2))
    return torch.where(above, normals_density(sine2, alpha2) * masking, 0.0)


def lifted(
    view: Float[Tensor, "*#batch 3"], normal: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Views below the horizon turned to it, where n.v is `MIN_COSINE`, as the BRDF takes them."""
    missing = (MIN_COSINE - dot(view, normal)).clamp_min(0.0)
    return torch.where(missing[..., None] > 0.0, unit(view + missing[..., None] * normal), view)


def sine2_to_half(
    normal: Float[Tensor, "*#batch 3"], half: Float[Tensor, "*#batch 3"]
) -> tuple[Float[Tensor, "*batch"], Tensor]:
    """Squared sine between unit vectors, from their difference, and whether n.h > 0.

    1 - (n.h)^2 would lose all digits at the peak of a sharp lobe.
    """
    away = normal - half
    chord2 = dot(away, away)
    return chord2 - 0.25 * chord2 * chord2, chord2 < 2.0


def normals_density(
    sine2: Float[Tensor, "*#batch"], alpha2: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    """`brdf.ggx_density` by the squared sine: exact at the peak in float32, too."""
    return alpha2 / (pi * (alpha2 + sine2 * (1.0 - alpha2)).square())
