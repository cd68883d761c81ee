"""Occluded light on surface points: sums over directions, or products of spherical harmonics.

With visibility V [N, D] over a direction set, `diffuse_transfer` folds the cosine in once, and the
irradiance under any light is one matrix product. With V as SH of degree 2, the triple product of
light, visibility and cosine (PRD, arXiv 2408.07595; Ng et al. 2004) needs 9 numbers a point.
"""

import dataclasses
from functools import lru_cache
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core import sh
from relight3d.shading.irradiance import COSINE_COEFFICIENTS, per_degree

_CHUNK = 32768


def diffuse_transfer(
    visibility: Float[Tensor, "N D"],
    normals: Float[Tensor, "N 3"],
    directions: Float[Tensor, "D 3"],
    solid_angle: Float[Tensor, " D"],
) -> Float[Tensor, "N D"]:
    """What unit radiance from each cell adds to each point's irradiance: V max(0, n.d) w.

    irradiance = diffuse_transfer(...) @ radiance; keep it while normals stay put. Differentiable
    in normals, visibility and weights.
    """
    return (normals @ directions.t()).clamp_min(0.0) * visibility * solid_angle


def irradiance(
    visibility: Float[Tensor, "N D"],
    normals: Float[Tensor, "N 3"],
    directions: Float[Tensor, "D 3"],
    radiance: Float[Tensor, "D C"],
    solid_angle: Float[Tensor, " D"],
) -> Float[Tensor, "N C"]:
    """Irradiance as the direct sum over directions, in bounded memory.

    Differentiable in normals, radiance, visibility and weights.
    """
    energy = radiance * solid_angle[:, None]
    axes = directions.t()
    parts = [
        ((normal @ axes).clamp_min(0.0) * seen) @ energy
        for normal, seen in zip(normals.split(_CHUNK), visibility.split(_CHUNK), strict=True)
    ]
    return torch.cat(parts)


def visibility_sh(
    visibility: Float[Tensor, "N D"],
    directions: Float[Tensor, "D 3"],
    degree: int = 2,
    solid_angle: Float[Tensor, " D"] | None = None,
) -> Float[Tensor, "N K"]:
    """SH coefficients of visibility. `solid_angle` None: equal cells. Differentiable (linear)."""
    basis = sh.basis(directions, degree)
    if solid_angle is None:
        return visibility @ (basis * (4.0 * pi / len(directions)))
    return visibility @ (basis * solid_angle[:, None])


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _triple_products(device: torch.device, dtype: torch.dtype) -> Float[Tensor, "9 9 9"]:
    """Integrals of Y_i Y_j Y_k over the sphere, degree 2, exact to rounding."""
    z, weight = _gauss_legendre(8)
    azimuth = torch.arange(16, dtype=torch.float64) * (2.0 * pi / 16)
    sine = torch.sqrt(1.0 - z * z)[:, None]
    points = torch.stack(
        [sine * azimuth.cos(), sine * azimuth.sin(), z[:, None].expand(-1, 16)], -1
    )
    basis = sh.basis(points.reshape(-1, 3), 2)
    weights = (weight[:, None] * (2.0 * pi / 16)).expand(-1, 16).reshape(-1)
    product = torch.einsum("q,qi,qj,qk->ijk", weights, basis, basis, basis)
    return product.to(device=device, dtype=dtype)


def _gauss_legendre(count: int) -> tuple[Float[Tensor, " Q"], Float[Tensor, " Q"]]:
    """Nodes and weights on [-1, 1] (Golub and Welsch 1969)."""
    index = torch.arange(1, count, dtype=torch.float64)
    beta = index / torch.sqrt(4.0 * index * index - 1.0)
    nodes, vectors = torch.linalg.eigh(torch.diag(beta, 1) + torch.diag(beta, -1))
    return nodes, 2.0 * vectors[0] ** 2


def triple_product_irradiance(
    radiance_sh: Float[Tensor, "9 C"],
    visibility_sh: Float[Tensor, "N 9"],
    normals: Float[Tensor, "N 3"],
) -> Float[Tensor, "N C"]:
    """Integral of light x visibility x clamped cosine, all of degree 2; cut at 0.

    Low-frequency shadows only. Differentiable in everything.
    """
    factors = normals.new_tensor(per_degree(COSINE_COEFFICIENTS, 2))
    cosine = sh.basis(normals, 2) * factors
    products = _triple_products(normals.device, normals.dtype)
    matrix = torch.einsum("ic,ijk->jck", radiance_sh, products)
    lit = (visibility_sh @ matrix.flatten(1)).unflatten(1, (radiance_sh.shape[1], 9))
    return torch.einsum("nck,nk->nc", lit, cosine).clamp_min(0.0)


def lobe_sharpness(roughness: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Sharpness k of the spherical Gaussian exp(k (r.l - 1)) like a GGX reflection lobe.

    Source: Wang et al. 2009 (2 / alpha^2 for the normals, over 4 for the reflection at normal
    incidence); kept in [0.5, 2000].
    """
    return (0.5 / roughness.clamp_min(0.05) ** 4).clamp(0.5, 2000.0)


def lobe_visibility(
    visibility: Float[Tensor, "P D"],
    directions: Float[Tensor, "D 3"],
    normal: Float[Tensor, "P 3"],
    reflection: Float[Tensor, "P 3"],
    roughness: Float[Tensor, "P 1"],
) -> Float[Tensor, "P 1"]:
    """Share of the reflected lobe that is unoccluded, of the part above the surface.

    Lobes narrower than the direction set are widened to it. Differentiable.
    """
    finest = len(directions) / 6.0
    sharpness = lobe_sharpness(roughness).clamp_max(finest)
    lobe = (sharpness * (reflection @ directions.t() - 1.0)).exp()
    lobe = lobe * (normal @ directions.t()).clamp_min(0.0)
    return (lobe * visibility).sum(-1, keepdim=True) / lobe.sum(-1, keepdim=True).clamp_min(1e-12)


def lobe_visibility_sh(
    visibility_sh: Float[Tensor, "P K"],
    normal: Float[Tensor, "P 3"],
    reflection: Float[Tensor, "P 3"],
    roughness: Float[Tensor, "P 1"],
) -> Float[Tensor, "P 1"]:
    """As `lobe_visibility`, from SH: V blurred by the lobe over the open hemisphere blurred alike.

    Their quotient is 1 on an open plane at any angle, so that the surface's own horizon, which
    the BRDF's integral already knows, is not counted twice. Differentiable.
    """
    return mirror_visibility(visibility_sh, normal, reflection).blurred(roughness)


@dataclasses.dataclass(frozen=True)
class MirrorVisibility:
    """What `lobe_visibility_sh` needs of P points and mirror directions, for lobes of any width."""

    seen: Float[Tensor, "P L"]
    """Visibility in the mirror direction, one part per degree 0 .. L - 1."""
    hemisphere: Float[Tensor, "P L"]
    """The same of the open hemisphere about the normal."""

    def blurred(self, roughness: Float[Tensor, "P 1"]) -> Float[Tensor, "P 1"]:
        """Unoccluded share of the lobe. Differentiable."""
        degree = torch.arange(self.seen.shape[1], device=roughness.device, dtype=roughness.dtype)
        lobe = torch.exp(-0.5 * degree * (degree + 1.0) / lobe_sharpness(roughness))
        seen = (lobe * self.seen).sum(-1, keepdim=True)
        open_share = (lobe * self.hemisphere).sum(-1, keepdim=True).clamp_min(0.05)
        return (seen / open_share).clamp(0.0, 1.0)


def mirror_visibility(
    visibility_sh: Float[Tensor, "P K"],
    normal: Float[Tensor, "P 3"],
    reflection: Float[Tensor, "P 3"],
) -> MirrorVisibility:
    """The part of `lobe_visibility_sh` before roughness comes in. Differentiable."""
    degree = sh.degree_of(visibility_sh.shape[1])
    toward = sh.basis(reflection, degree)
    hemisphere = sh.basis(normal, degree) * normal.new_tensor(per_degree(_HEMISPHERE, degree))
    counts = [2 * level + 1 for level in range(degree + 1)]
    return MirrorVisibility(
        *(
            torch.stack([part.sum(-1) for part in (toward * other).split(counts, -1)], -1)
            for other in (visibility_sh, hemisphere)
        )
    )


_HEMISPHERE = (2.0 * pi, pi, 0.0, -pi / 4.0)
"""Per degree: SH of the hemisphere about n are this times Y(n)."""
