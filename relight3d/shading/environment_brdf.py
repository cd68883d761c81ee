"""The BRDF's own half of the split sum: its integral over all light directions, tabulated.

Source: Karis 2013, "Real Shading in Unreal Engine 4", with this package's exact Smith term. A third
column holds the mean Schlick weight of the diffuse part, so that under uniform light split-sum
shading equals the integral of `brdf.evaluate` for both parts.
"""

from functools import lru_cache
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.shading.brdf import MIN_ROUGHNESS, schlick_weight, smith_visibility

TABLE_SIZE = 64


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


@lru_cache(maxsize=2)
def _table(size: int, samples: int) -> Float[Tensor, "3 size size"]:
    """Scale A, bias B and mean diffuse Schlick weight; rows roughness, columns n.v, at centres."""
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    roughness, n_dot_v = torch.meshgrid(axis, axis, indexing="ij")
    roughness = roughness.clamp_min(MIN_ROUGHNESS)
    cos_h, azimuth = sample_half_vectors(samples, roughness)
    sin_v = torch.sqrt(1.0 - n_dot_v**2)
    sin_h = torch.sqrt((1.0 - cos_h**2).clamp_min(0.0))
    v_dot_h = sin_v[..., None] * sin_h * azimuth.cos() + n_dot_v[..., None] * cos_h
    n_dot_l = 2.0 * v_dot_h * cos_h - n_dot_v[..., None]
    valid = (n_dot_l > 0.0) & (v_dot_h > 0.0)
    lobe = smith_visibility(n_dot_l.clamp_min(1e-9), n_dot_v[..., None], roughness[..., None])
    weight = torch.where(valid, 4.0 * lobe * n_dot_l * v_dot_h / cos_h, 0.0)
    schlick = schlick_weight(v_dot_h.clamp(0.0, 1.0))
    scale, bias = (weight * (1.0 - schlick)).mean(-1), (weight * schlick).mean(-1)
    return torch.stack([scale, bias, _diffuse_schlick(axis, samples).expand(size, size)]).float()


def _diffuse_schlick(n_dot_v: Float[Tensor, " V"], samples: int) -> Float[Tensor, " V"]:
    """Mean of (1 - v.h)^5 over cosine-weighted light directions."""
    index = torch.arange(samples, dtype=torch.float64)
    radius2, azimuth = (index + 0.5) / samples, 2.0 * pi * _radical_inverse(index)
    cos_l, sin_l = torch.sqrt(1.0 - radius2), torch.sqrt(radius2)
    sin_v = torch.sqrt(1.0 - n_dot_v**2)[:, None]
    v_dot_l = sin_v * sin_l * azimuth.cos() + n_dot_v[:, None] * cos_l
    return schlick_weight(torch.sqrt((0.5 * (1.0 + v_dot_l)).clamp(0.0, 1.0))).mean(-1)


@lru_cache(maxsize=8)
def _table_on(device: torch.device, dtype: torch.dtype) -> Float[Tensor, "1 3 S S"]:
    return _table(TABLE_SIZE, 1024).to(device=device, dtype=dtype)[None]


def environment_brdf(
    roughness: Float[Tensor, "P 1"], n_dot_v: Float[Tensor, "P 1"]
) -> tuple[Float[Tensor, "P 1"], Float[Tensor, "P 1"], Float[Tensor, "P 1"]]:
    """Look the table up, bilinearly.

    Args:
        roughness: Perceptual, in [0, 1].
        n_dot_v: In [0, 1].

    Returns:
        (A, B, C), each in [0, 1]: under uniform radiance 1 the specular part reflects F0 A + B and
        the diffuse part albedo (1 - metallic) (1 - F0 - (1 - F0) C). Differentiable in both.
    """
    grid = torch.cat([n_dot_v, roughness], -1) * 2.0 - 1.0
    found = torch.nn.functional.grid_sample(
        _table_on(roughness.device, roughness.dtype),
        grid[None, None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    scale, bias, schlick = found[0, :, 0, :, None].unbind(0)
    return scale, bias, schlick
