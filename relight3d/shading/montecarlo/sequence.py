"""Points that fill the unit square evenly, differently for every pixel."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError


def rotated_points(
    pixels: int,
    samples: int,
    generator: torch.Generator,
    dimensions: int = 2,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "P S D"]:
    """One low-discrepancy set for all pixels, shifted modulo 1 by each pixel's own random offset.

    The set is Sobol's with Owen's scrambling; the offsets are those of Cranley and Patterson 1976.
    Every point is uniform by itself, so that estimates are unbiased for any number of samples, and
    the points of a pixel keep their distance from each other.

    Args:
        pixels: P.
        samples: S, points a pixel, >= 1.
        generator: Of the offsets; the same state gives the same points.
        dimensions: D, of the cube that is filled.
        device: Where the points are wanted; the generator may be elsewhere.
        dtype: Of the points.

    Returns:
        In [0, 1), [D, S, P] in memory.

    Raises:
        ConfigurationError: For no samples.
    """
    if samples < 1:
        raise ConfigurationError(f"A pixel needs at least 1 sample, got {samples}.")
    shape = (dimensions, 1, pixels)
    offsets = torch.rand(shape, generator=generator, device=generator.device, dtype=dtype)
    shared = _scrambled_sobol(samples, dimensions, dtype).to(device)
    total = shared[..., None] + offsets.to(shared.device)
    return torch.where(total < 1.0, total, total - 1.0).permute(2, 1, 0)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _scrambled_sobol(samples: int, dimensions: int, dtype: torch.dtype) -> Float[Tensor, "D S"]:
    engine = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=0)
    points = engine.draw(samples, dtype=torch.float64).t()
    below_one = 1.0 - torch.finfo(dtype).eps / 2  # which rounding may not reach
    return points.to(dtype).clamp_max(below_one).contiguous()
