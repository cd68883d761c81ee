"""Quality of scalar material maps (roughness, metalness): squared error, and rank correlation.

Rank correlation asks whether the rougher pixel was found rougher, whatever the scale: it forgives a
method another parametrisation of roughness, which the squared error does not.
"""

import numpy as np
from jaxtyping import Bool, Float

from relight3d.evaluation.checks import require_finite, require_same_shape, require_some

Values = Float[np.ndarray, "*any"]


def masked_mse(predicted: Values, truth: Values, where: Bool[np.ndarray, "*mask"]) -> float:
    """Mean squared error over the pixels `where`, all channels pooled.

    Args:
        predicted: [H W] or [H W C].
        truth: The same shape.
        where: [H W].

    Raises:
        EvaluationError: Shapes that differ, no pixel, or NaN or infinity among the pixels.
    """
    ours, theirs = _selected(predicted, truth, where)
    return float(np.square(ours - theirs).mean())


def rank_correlation(
    predicted: Values, truth: Values, where: Bool[np.ndarray, "*mask"] | None = None
) -> float | None:
    """Spearman's rank correlation in [-1, 1]; ties take the average of their ranks.

    Args:
        predicted: Any shape.
        truth: The same shape.
        where: What to count; everything unless given.

    Returns:
        None where it is undefined: one of the two is constant.

    Raises:
        EvaluationError: Shapes that differ, no pixel, or NaN or infinity among the pixels.
    """
    where = np.ones(predicted.shape, bool) if where is None else where
    ours, theirs = _selected(predicted, truth, where)
    return pearson(average_ranks(ours.ravel()), average_ranks(theirs.ravel()))


def average_ranks(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Ranks from 1 to N; equal values share the mean of the ranks they occupy."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2.0)[group.reshape(-1)]


def pearson(
    x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"], smallest_std: float = 0.0
) -> float | None:
    """Linear correlation in [-1, 1]; None if either spreads no more than `smallest_std`."""
    x, y = (v.astype(np.float64) - v.mean(dtype=np.float64) for v in (x, y))
    spread_x, spread_y = np.sqrt(np.square(x).mean()), np.sqrt(np.square(y).mean())
    if min(spread_x, spread_y) <= smallest_std:
        return None
    return float(np.clip((x * y).mean() / (spread_x * spread_y), -1.0, 1.0))


def _selected(
    predicted: Values, truth: Values, where: Bool[np.ndarray, "*mask"]
) -> tuple[Float[np.ndarray, "*selected"], Float[np.ndarray, "*selected"]]:
    require_same_shape(predicted=predicted, truth=truth)
    require_same_shape(mask=where, picture=truth[..., 0] if truth.ndim > where.ndim else truth)
    require_some(where)
    ours, theirs = predicted[where].astype(np.float64), truth[where].astype(np.float64)
    require_finite(predicted=ours, truth=theirs)
    return ours, theirs
