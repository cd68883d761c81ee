"""sRGB encoding (IEC 61966-2-1) and back, and luminance. Pure, differentiable."""

from jaxtyping import Float
from torch import Tensor

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of linear Rec. 709 red, green and blue."""


def luminance(linear: Float[Tensor, "*any 3"]) -> Float[Tensor, "*any"]:
    """Brightness of linear Rec. 709 colours."""
    return linear @ linear.new_tensor(LUMINANCE)


def srgb_from_linear(linear: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Encode. Not clipped above 1; the slope stays finite at 0 and below, where it is linear."""
    high = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return high.where(linear > 0.0031308, 12.92 * linear)


def linear_from_srgb(srgb: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Decode."""
    high = ((srgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return high.where(srgb > 0.04045, srgb / 12.92)
