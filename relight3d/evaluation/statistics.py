"""How sure a mean over views is: standard deviation and Student's 95 % interval, without scipy.

The interval assumes that views (or scenes, or seeds) are independent draws with a nearly normal
mean.
"""

import dataclasses
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.checks import require_numbers

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Spread:
    """A mean, and how far it may be trusted."""

    mean: float
    """Infinite if a value is."""
    std: float | None
    """Of the values, with n - 1. None for a single value, or if one is infinite."""
    low: float | None
    """Lower end of the 95 % interval of the mean; None where `std` is."""
    high: float | None
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Mean, standard deviation and 95 % interval of the mean.

    Raises:
        EvaluationError: NaN, no value, or infinities of both signs (no mean exists).
    """
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not found.size:
        raise EvaluationError(f"A mean needs a list of numbers, got shape {list(found.shape)}.")
    require_numbers(values=found)
    if np.isinf(found).any():
        if (found == np.inf).any() and (found == -np.inf).any():
            raise EvaluationError("Values of +infinity and -infinity have no mean.")
        return Spread(float(found[np.isinf(found)][0]), None, None, None, found.size)
    mean = float(found.mean())
    if found.size == 1:
        return Spread(mean, None, None, None, 1)
    std = float(found.std(ddof=1))
    half = student_quantile(found.size - 1) * std / math.sqrt(found.size)
    return Spread(mean, std, mean - half, mean + half, found.size)


def paired_difference(before: Sequence[float], after: Sequence[float]) -> Spread:
    """Spread of after - before, view by view: what two methods share in a view cancels.

    Two infinities of one sign (equal pictures both times) differ by 0.

    Raises:
        EvaluationError: NaN, no value, or lists that are not as long as each other.
    """
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if first.shape != second.shape:
        raise EvaluationError(
            f"A paired difference needs the same views in both lists, got {first.size} before and "
            f"{second.size} after."
        )
    require_numbers(before=first, after=second)
    same = first == second
    difference = np.where(same, 0.0, np.where(same, 0.0, second) - np.where(same, 0.0, first))
    return spread(difference.tolist())


@lru_cache(maxsize=1024)
def student_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """The t with P(|T| <= t) = confidence, for whole degrees of freedom >= 1; by bisection."""
    assert degrees >= 1 and 0 < confidence < 1, (degrees, confidence)
    low, high = 0.0, 1.0
    while student_within(high, degrees) < confidence:
        low, high = high, 2.0 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        low, high = (
            (middle, high) if student_within(middle, degrees) < confidence else (low, middle)
        )
    return (low + high) / 2.0


def student_within(t: float, degrees: int) -> float:
    """P(|T| <= t) for t >= 0: the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(degrees // 2):  # cos^(2k+1) 2*4*../3*5*.. or cos^(2k) 1*3*../2*4*..
        total += term
        step = 2 * k + 2 if odd else 2 * k + 1
        term *= cosine * cosine * step / (step + 1)
    return 2.0 / math.pi * (angle + sine * total) if odd else sine * total
