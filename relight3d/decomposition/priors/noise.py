"""Noise for distillation, beside torch's own: in opposite pairs, or attached to the surface.

All on the CPU from explicit generators or from hashes, so that results do not depend on the number
of threads. Source of surface noise: Consistent Flow Distillation (arXiv:2501.05445): the noise
that a pixel sees belongs to the place behind it, so that all views agree on what they are asked.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
"""One odd number an axis: neighbouring cells are far apart before they are mixed."""


def antithetic(
    shape: tuple[int, int, int, int], generator: torch.Generator
) -> Float[Tensor, "B C H W"]:
    """The second half of the batch is the first with its sign turned: odd errors cancel."""
    half = torch.randn(((shape[0] + 1) // 2, *shape[1:]), generator=generator)
    return torch.cat([half, -half])[: shape[0]]


def on_surface(
    positions: Float[Tensor, "B H W 3"], cell: float, channels: int, seed: int
) -> Float[Tensor, "B C H W"]:
    """Normal values that belong to cubes of space: who sees the same cube sees the same noise.

    Args:
        positions: Of the surface behind each pixel.
        cell: Edge of the cubes, in the same unit; about a pixel's footprint, or neighbours that
            share a cube make the noise coarser than the prior knows it.
        channels: How many values each cube holds.
        seed: Another one, another noise.
    """
    places = torch.floor(positions / cell).to(torch.int64)
    key = places.new_full(places.shape[:-1], seed)
    for axis, multiplier in enumerate(_MULTIPLIERS):
        key = _mix(key ^ (places[..., axis] * _signed(multiplier)))
    values = [_normal(_mix(key + 2 * channel), _mix(key + 2 * channel + 1)) for channel in
              range(channels)]  # fmt: skip
    return torch.stack(values, 1).to(positions)


def aged(
    noise: Float[Tensor, "B C H W"], share: float, generator: torch.Generator
) -> Float[Tensor, "B C H W"]:
    """A little of it exchanged for new: as normal as before."""
    new = torch.randn(noise.shape, generator=generator).to(noise)
    return (1.0 - share) ** 0.5 * noise + share**0.5 * new


def _signed(value: int) -> int:
    """The same 64 bits as torch's int64 writes them."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _shifted(value: Int64[Tensor, "*any"], bits: int) -> Int64[Tensor, "*any"]:
    """Logical shift to the right."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _mix(value: Int64[Tensor, "*any"]) -> Int64[Tensor, "*any"]:
    """SplitMix64's finaliser (Steele et al. 2014): every bit depends on every bit."""
    value = (value ^ _shifted(value, 30)) * _signed(0xBF58476D1CE4E5B9)
    value = (value ^ _shifted(value, 27)) * _signed(0x94D049BB133111EB)
    return value ^ _shifted(value, 31)


def _normal(first: Int64[Tensor, "*any"], second: Int64[Tensor, "*any"]) -> Tensor:
    """Box and Muller's transform of two hashes."""
    u = (_shifted(first, 11).double() + 1.0) / 2.0**53  # in (0, 1]: its logarithm is finite
    v = _shifted(second, 11).double() / 2.0**53
    return (-2.0 * u.log()).sqrt() * (2.0 * torch.pi * v).cos()
