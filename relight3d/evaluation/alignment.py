"""The scale that photos cannot tell: albedo, or pictures, up to one factor per channel.

Half the light and twice the albedo give the same photos. TensoIR's official rule therefore aligns
predicted albedo to the truth before relighting: per channel, the median of truth / prediction over
the foreground of 20 test views, in linear values; one factor triple per scene. Others take other
views, pictures instead of albedo, or least squares (`protocol.Alignment`).
"""

import numpy as np
from jaxtyping import Float

from relight3d.evaluation.checks import require_finite
from relight3d.evaluation.compared import Pair, in_space
from relight3d.evaluation.protocol import Alignment, Protocol

Gain = tuple[float, float, float]
NO_GAIN: Gain = (1.0, 1.0, 1.0)
_SMALLEST = 1e-6


def alignment_views(count: int, wanted: int | None) -> list[int]:
    """Indices of the views that give the scale; all, if there are no more than wanted.

    Every (count // wanted)-th from the first, as TensoIR's code takes them.
    """
    if wanted is None or count <= wanted:
        return list(range(count))
    return [i * (count // wanted) for i in range(wanted)]


class GainFit:
    """Collects foreground values of views; gives the factor that a rule makes of them."""

    def __init__(self, protocol: Protocol, scene: str = "") -> None:
        """Take the protocol, which must align, and the scene's name."""
        assert protocol.alignment is not None
        self._protocol, self._rule = protocol, protocol.alignment
        self._single = scene in self._rule.single_channel_scenes
        self._ours: list[Float[np.ndarray, "_ 3"]] = []
        self._truth: list[Float[np.ndarray, "_ 3"]] = []

    def add(self, pair: Pair) -> None:
        """Count the foreground of one view.

        Raises:
            EvaluationError: NaN or infinity there.
        """
        where = pair.foreground(self._protocol)
        ours = in_space(pair.ours, self._rule.space)[where]
        truth = in_space(pair.truth, self._rule.space)[where]
        require_finite(frame=ours, truth=truth)
        self._ours.append(ours)
        self._truth.append(truth)

    def gain(self) -> Gain:
        """The factors; 1 where there is nothing to fit."""
        ours, truth = np.concatenate(self._ours), np.concatenate(self._truth)
        if len(ours) == 0:
            return NO_GAIN
        red, green, blue = factors(ours, truth, self._rule)
        return (red, red, red) if self._single else (red, green, blue)


def factors(
    ours: Float[np.ndarray, "N 3"], truth: Float[np.ndarray, "N 3"], rule: Alignment
) -> list[float]:
    """Per channel, the factor on `ours`."""
    if rule.rule == "median":
        ratios = truth / np.maximum(ours, _SMALLEST)
        return [float(value) for value in np.median(ratios, axis=0)]
    values = ours.astype(np.float64)
    cross, square = (values * truth).sum(0), np.square(values).sum(0)
    return [float(c / s) if s > 0 else 1.0 for c, s in zip(cross, square, strict=True)]
