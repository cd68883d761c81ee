"""Soft lights as spherical Gaussians: how wide, how bright, and as a map.

radiance(d) = peak exp(sharpness (d . axis - 1)); see `core.types.LobeLight`.
"""

from collections.abc import Sequence
from math import cos, expm1, log, pi

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.types import LobeLight
from relight3d.shading import latlong


def sharpness_of(width_rad: float) -> float:
    """Of a lobe that is half as bright at half of this full width, in (0, 2 pi]."""
    return log(2.0) / (1.0 - cos(0.5 * width_rad))


def facing_irradiance(sharpness: float) -> float:
    """Irradiance on a surface that faces a lobe of peak 1: its integral with the cosine.

    2 pi (1 / s - (1 - exp(-s)) / s^2), as integrating by parts gives it.
    """
    if sharpness < 1e-3:  # the difference would lose all digits: pi (1 - s / 3 + ...)
        return pi * (1.0 - sharpness / 3.0)
    return 2.0 * pi * (1.0 / sharpness + expm1(-sharpness) / sharpness**2)


def soft_light(
    axis: tuple[float, float, float], width_rad: float, irradiance: tuple[float, float, float]
) -> LobeLight:
    """A lobe as bright as a sun of the same numbers, however wide.

    Args:
        axis: Toward its middle.
        width_rad: Full width at half of its peak radiance.
        irradiance: On a surface that faces it, linear.
    """
    sharpness = sharpness_of(width_rad)
    r, g, b = (value / facing_irradiance(sharpness) for value in irradiance)
    return LobeLight(axis, sharpness, (r, g, b))


def rasterized(
    lobes: Sequence[LobeLight], height: int, device: torch.device | str | None = None
) -> Float[Tensor, "H W 3"]:
    """The lobes together as a lat-long map [height, 2 height]; each keeps its whole energy.

    However narrow: one that falls between the texels' centres is in the texel it points at.
    """
    centers = latlong.texel_directions(height, 2 * height, dtype=torch.float64)
    areas = latlong.solid_angles(height, 2 * height, dtype=torch.float64)
    total = torch.zeros_like(centers)
    for lobe in lobes:
        axis = torch.tensor(lobe.axis, dtype=torch.float64)
        cosine = centers @ (axis / axis.norm())
        shape = torch.exp(lobe.sharpness * (cosine - cosine.max()))
        energy = -2.0 * pi * expm1(-2.0 * lobe.sharpness) / lobe.sharpness
        shape = shape * (energy / (shape * areas).sum())
        total += shape[..., None] * torch.tensor(lobe.peak_linear, dtype=torch.float64)
    return total.to(device=device, dtype=torch.float32)
