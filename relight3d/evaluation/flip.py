"""FLIP (Andersson et al. 2020): the difference a person sees who flips between two pictures.

The one door to `flip_evaluator`, the reference implementation of its authors (BSD-3-Clause).
"""

import dataclasses
import importlib.util

import numpy as np
from jaxtyping import Float

from relight3d.core.errors import BackendUnavailableError, EvaluationError
from relight3d.evaluation.checks import require_finite, require_same_shape
from relight3d.evaluation.metrics import Picture

_ROUNDING = 1e-5
"""How far beyond [0, 1] blending in float32 may lead."""


@dataclasses.dataclass(frozen=True)
class Flip:
    """Perceived difference, 0 (none) to 1."""

    mean: float
    map: Float[np.ndarray, "H W"]


def available() -> bool:
    """Whether `flip_evaluator` is installed; it is not imported for that."""
    return importlib.util.find_spec("flip_evaluator") is not None


def flip(picture: Picture, truth: Picture) -> Flip:
    """LDR-FLIP at the tool's default, 67.02 pixels per degree (0.7 m from a 0.7 m wide 4K screen).

    Args:
        picture: sRGB-encoded in [0, 1].
        truth: sRGB-encoded in [0, 1]. (LDR-FLIP is symmetric in the two.)

    Raises:
        BackendUnavailableError: `flip_evaluator` is not installed.
        EvaluationError: NaN, infinity, values outside [0, 1], or shapes that differ. The library
            itself would skip NaN and clip in silence.
    """
    require_same_shape(picture=picture, truth=truth)
    require_finite(picture=picture, truth=truth)
    inputs = [_within_range(picture, "picture"), _within_range(truth, "truth")]
    try:
        import flip_evaluator
    except ImportError as error:
        raise BackendUnavailableError(
            f"FLIP needs the library flip-evaluator, which did not import ({error}). Install it "
            "with the extra [eval]: pip install 'relight3d[eval]'."
        ) from error
    map_, mean, _ = flip_evaluator.evaluate(
        inputs[1], inputs[0], "LDR", inputsRGB=True, applyMagma=False, computeMeanError=True
    )
    return Flip(float(mean), np.array(map_[..., 0], np.float32))


def _within_range(picture: Picture, name: str) -> Float[np.ndarray, "H W 3"]:
    low, high = float(picture.min()), float(picture.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise EvaluationError(
            f"FLIP compares sRGB pictures with values in [0, 1]; the {name} has values from "
            f"{low:.6g} to {high:.6g}. Encode and clip it first."
        )
    return np.ascontiguousarray(np.clip(picture, 0, 1), np.float32)
