"""The BRDF's own half of the split sum, tabulated by numerical integration.

Source: Karis 2013, "Real Shading in Unreal Engine 4", with this package's exact Smith term, and
two additions. (1) The mean Schlick weight of the diffuse part, so that under uniform light both
parts equal the integral of `brdf.evaluate`. (2) Which round lobe stands in for the true one: seen
at an angle, the lobe leans from the mirror direction toward the normal and changes its width.
Direction and width are matched by moments of lobe^1.5, between the lobe's peak and its mean.
Measured on eight photographed environments, this halves the error of rough and grazing surfaces.
"""

import dataclasses
from functools import lru_cache
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.shading.brdf import MIN_ROUGHNESS, ggx_density, schlick_weight, smith_visibility

TABLE_SIZE = 64
_SAMPLES = 2048
_COSINE_RANGE = (1e-3, 0.996)
"""n.v of the outermost columns: at 0 and 1 the plane of view and normal degenerates."""


@dataclasses.dataclass(frozen=True)
class EnvironmentBrdf:
    """What the surface does to uniform radiance 1, and the shape of its lobe.

    It reflects f0 * scale + bias specularly, and diffusely
    albedo * (1 - metallic) * (1 - f0) * (1 - diffuse_schlick).
    """

    scale: Float[Tensor, "P 1"]
    bias: Float[Tensor, "P 1"]
    diffuse_schlick: Float[Tensor, "P 1"]
    along_normal: Float[Tensor, "P 1"]
    """The lobe's centre is along_normal * normal + along_reflection * reflection, up to length."""
    along_reflection: Float[Tensor, "P 1"]
    width: Float[Tensor, "P 1"]
    """Roughness of the round lobe over the surface's roughness."""


def environment_brdf(
    roughness: Float[Tensor, "P 1"], n_dot_v: Float[Tensor, "P 1"]
) -> EnvironmentBrdf:
    """Look the table up, bilinearly. Both arguments in [0, 1]; differentiable in both."""
    grid = torch.cat([n_dot_v, roughness], -1) * 2.0 - 1.0
    found = torch.nn.functional.grid_sample(
        brdf_table(roughness.device, roughness.dtype),
        grid[None, None],
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    return EnvironmentBrdf(*found[0, :, 0, :, None].unbind(0))


def sample_half_vectors(
    count: int, roughness: Float[Tensor, "*batch"]
) -> tuple[Float[Tensor, "*batch S"], Float[Tensor, "*batch S"]]:
    """Half vectors distributed as D(h) cos_h about the normal, on a Hammersley set.

    Returns:
        (cosine to the normal, azimuth in radians). Source: Walter et al. 2007, Eq. 35.
    """
    index = torch.arange(count, dtype=torch.float64, device=roughness.device)
    first = ((index + 0.5) / count).to(roughness.dtype)
    azimuth = (2.0 * pi * _radical_inverse(index)).to(roughness.dtype)
    alpha2 = roughness[..., None] ** 4
    cos_h = torch.sqrt((1.0 - first) / (1.0 + (alpha2 - 1.0) * first))
    return cos_h, azimuth.expand_as(cos_h)


def _radical_inverse(index: Float[Tensor, " S"]) -> Float[Tensor, " S"]:
    """Van der Corput's sequence in base 2."""
    remaining, value = index.long(), torch.zeros_like(index)
    for digit in range(1, 24):
        value += (remaining % 2) * 0.5**digit
        remaining = remaining // 2
    return value


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def brdf_table(device: torch.device, dtype: torch.dtype) -> Float[Tensor, "1 6 S S"]:
    """The whole table: fields of `EnvironmentBrdf`, rows of roughness, columns of n.v, all 0..1."""
    return _table(TABLE_SIZE, _SAMPLES).to(device=device, dtype=dtype)[None]


@lru_cache(maxsize=2)
@torch.inference_mode(False)
def _table(size: int, samples: int) -> Float[Tensor, "6 size size"]:
    """Channels as in `EnvironmentBrdf`; rows roughness, columns n.v, both from 0 to 1."""
    axis = torch.linspace(0.0, 1.0, size, dtype=torch.float64)
    rough_axis, cosines = axis.clamp_min(MIN_ROUGHNESS), axis.clamp(*_COSINE_RANGE)
    rows = [_table_row(roughness.expand(size), cosines, samples) for roughness in rough_axis]
    scale, bias, along_normal, along_reflection, resultant = torch.stack(rows, 1).unbind(0)
    width = _round_lobe_roughness(resultant, samples) / rough_axis[:, None]
    diffuse = _diffuse_schlick(axis, samples).expand(size, size)
    return torch.stack([scale, bias, diffuse, along_normal, along_reflection, width]).float()


def _table_row(
    roughness: Float[Tensor, " V"], n_dot_v: Float[Tensor, " V"], samples: int
) -> Float[Tensor, "5 V"]:
    """Split-sum integrals and the lobe's moments by sampling, in the plane of view and normal."""
    cos_h, azimuth = sample_half_vectors(samples, roughness)
    rough, cos_v = roughness[:, None], n_dot_v[:, None]
    sin_v = torch.sqrt(1.0 - cos_v**2)
    along_v = torch.sqrt((1.0 - cos_h**2).clamp_min(0.0)) * azimuth.cos()
    v_dot_h = sin_v * along_v + cos_v * cos_h
    n_dot_l = 2.0 * v_dot_h * cos_h - cos_v
    valid = (n_dot_l > 0.0) & (v_dot_h > 0.0)
    masked = smith_visibility(n_dot_l.clamp_min(1e-9), cos_v, rough)
    weight = torch.where(valid, 4.0 * masked * n_dot_l * v_dot_h / cos_h, 0.0)
    schlick = schlick_weight(v_dot_h.clamp(0.0, 1.0))
    scale, bias = (weight * (1.0 - schlick)).mean(-1), (weight * schlick).mean(-1)
    excess = (scale + bias).clamp_min(1.0)  # sampling error at grazing angles, at most 1 %
    scale, bias = scale / excess, bias / excess

    lobe = ggx_density(cos_h, rough) * masked * n_dot_l
    peaked = weight * torch.sqrt(torch.where(valid, lobe, 0.0))
    total = peaked.sum(-1)
    center_x = (peaked * (2.0 * v_dot_h * along_v - sin_v)).sum(-1) / total
    center_z = (peaked * n_dot_l).sum(-1) / total
    along_reflection = -center_x / sin_v[:, 0]
    along_normal = center_z - along_reflection * n_dot_v
    resultant = torch.hypot(center_x, center_z)
    return torch.stack([scale, bias, along_normal, along_reflection, resultant])


def _round_lobe_roughness(resultant: Float[Tensor, "R V"], samples: int) -> Float[Tensor, "R V"]:
    """Roughness at which `prefilter`'s lobe, to the power 1.5, has a mean of this length."""
    roughness = torch.linspace(1.0, MIN_ROUGHNESS, 97, dtype=torch.float64)
    cos_h, _ = sample_half_vectors(samples, roughness)
    n_dot_l = (2.0 * cos_h**2 - 1.0).clamp_min(0.0)
    peaked = n_dot_l * torch.sqrt(ggx_density(cos_h, roughness[:, None]) * n_dot_l)
    known = (peaked * n_dot_l).sum(-1) / peaked.sum(-1)  # ascending
    right = torch.searchsorted(known, resultant.contiguous()).clamp(1, len(known) - 1)
    low, high = known[right - 1], known[right]
    fraction = ((resultant - low) / (high - low)).clamp(0.0, 1.0)
    return torch.lerp(roughness[right - 1], roughness[right], fraction)


def _diffuse_schlick(n_dot_v: Float[Tensor, " V"], samples: int) -> Float[Tensor, " V"]:
    """Mean of (1 - v.h)^5 over cosine-weighted light directions."""
    index = torch.arange(samples, dtype=torch.float64)
    radius2, azimuth = (index + 0.5) / samples, 2.0 * pi * _radical_inverse(index)
    cos_l, sin_l = torch.sqrt(1.0 - radius2), torch.sqrt(radius2)
    sin_v = torch.sqrt(1.0 - n_dot_v**2)[:, None]
    v_dot_l = sin_v * sin_l * azimuth.cos() + n_dot_v[:, None] * cos_l
    return schlick_weight(torch.sqrt((0.5 * (1.0 + v_dot_l)).clamp(0.0, 1.0))).mean(-1)
