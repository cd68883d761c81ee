"""Guards that the settings of all stages share. Readable without torch."""

import dataclasses
import math
from typing import Any

from relight3d.core.errors import ConfigurationError

MAX_COUNT = 10**9
SMALLEST_WINDOW_PX = 256
DEFAULT_BOUNCES = 3
"""Of light between surfaces, where rays are traced and nothing else is asked."""


def require_sane_numbers(config: Any, prefix: str) -> None:
    """Refuse a number that is NaN, infinite, negative or absurdly large, in any field.

    Args:
        config: A dataclass whose numbers (or tuples of them) all are amounts, rates or weights.
        prefix: What its fields are called by on the command line, such as 'field'.

    Raises:
        ConfigurationError: Names the field and what it was given.
    """
    for name, value in dataclasses.asdict(config).items():
        for number in value if isinstance(value, tuple) else (value,):
            if not isinstance(number, int | float):
                continue
            if not (math.isfinite(number) and 0 <= number <= MAX_COUNT):
                raise ConfigurationError(
                    f"{prefix}.{name} must be a number from 0 to {MAX_COUNT}, got {number}."
                )


def require_window(pixels: int, name: str) -> None:
    """Refuse a window too small for the differences between pixels that the losses look at.

    Raises:
        ConfigurationError: Neither 0 (no limit) nor at least `SMALLEST_WINDOW_PX`.
    """
    if pixels < 0 or 0 < pixels < SMALLEST_WINDOW_PX:
        raise ConfigurationError(
            f"{name} must be 0 (no limit) or at least {SMALLEST_WINDOW_PX} pixels, got {pixels}."
        )


SPP_RANGE = (2, 512)


def require_spp(spp: int, name: str) -> None:
    """Raise ConfigurationError unless so many rays a pixel can be traced."""
    low, high = SPP_RANGE
    if not low <= spp <= high:
        raise ConfigurationError(
            f"{name} must be 0 (no tracing) or from {low} to {high}, got {spp}. Noise falls with "
            "its square root, and the denoiser takes most of it."
        )
