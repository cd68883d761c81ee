"""The scale that photos cannot tell: albedo up to one factor per channel.

Half the light and twice the albedo give the same photos. TensoIR's official rule therefore aligns
predicted albedo to the truth before relighting: per channel, the median of truth / prediction over
the foreground of 20 evenly spaced test views, in linear values; one factor triple per scene.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

from relight3d.evaluation.checks import require_finite

Gain = tuple[float, float, float]
ALIGNMENT_VIEWS = 20
_SMALLEST = 1e-6


def evenly_spaced(count: int, wanted: int = ALIGNMENT_VIEWS) -> list[int]:
    """Indices of `wanted` of `count` views, first and last among them; all, if there are fewer."""
    if count <= wanted:
        return list(range(count))
    return [round(i * (count - 1) / (wanted - 1)) for i in range(wanted)]


def albedo_gain(
    views: Iterable[
        tuple[
            Float[np.ndarray, "H W 3"],
            Float[np.ndarray, "H W 3"],
            Bool[np.ndarray, "H W"],
        ]
    ],
) -> Gain:
    """Median of truth / prediction per channel.

    Args:
        views: Per view linear predicted albedo, linear true albedo, and the true foreground.
    """
    ratios = [
        truth[foreground] / np.maximum(predicted[foreground], _SMALLEST)
        for predicted, truth, foreground in views
    ]
    together = np.concatenate(ratios)
    require_finite(albedo_ratios=together)
    if len(together) == 0:
        return (1.0, 1.0, 1.0)
    red, green, blue = np.median(together, axis=0)
    return (float(red), float(green), float(blue))
