"""NaN never passes: what every formula of this room refuses before it computes.

A NaN in one pixel would make a score NaN at best, and at worst (FLIP, comparisons) a number that
looks like any other. Predicted frames come from files, so this is an error of the data.
"""

import numpy as np
from jaxtyping import Bool

from relight3d.core.errors import EvaluationError


def require_finite(**arrays: np.ndarray) -> None:
    """Refuse NaN and infinity.

    Args:
        arrays: By the name to use in the message; of any shape and dtype.

    Raises:
        EvaluationError: Names the first array with such a value, how many there are, and where.
    """
    for name, array in arrays.items():
        bad = ~np.isfinite(array)
        if bad.any():
            _refuse(name, array, bad)


def require_numbers(**arrays: np.ndarray) -> None:
    """Refuse NaN, but let infinity pass: the PSNR of equal pictures."""
    for name, array in arrays.items():
        bad = np.isnan(array)
        if bad.any():
            _refuse(name, array, bad)


def _refuse(name: str, array: np.ndarray, bad: np.ndarray) -> None:
    first = np.argwhere(bad)[0].tolist()
    raise EvaluationError(
        f"{name.replace('_', ' ')}: {int(bad.sum())} of {array.size} values are NaN or infinite, "
        f"the first at index {first}. A score of them would say nothing: mend what wrote them."
    )


def require_same_shape(**arrays: np.ndarray) -> None:
    """Refuse arrays of different shapes: nothing is resized or broadcast in silence.

    Raises:
        EvaluationError: Names all arrays with their shapes.
    """
    if len({array.shape for array in arrays.values()}) > 1:
        found = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise EvaluationError(
            f"Only equal shapes can be compared, found: {found}. Write the prediction at the size "
            "of the truth."
        )


def require_some(where: Bool[np.ndarray, "*any"]) -> None:
    """Refuse a mask that selects nothing: a mean over no pixel is not a score.

    Raises:
        EvaluationError: No pixel is selected.
    """
    if not where.any():
        raise EvaluationError(
            f"The mask of shape {list(where.shape)} selects no pixel, so nothing can be scored. "
            "Leave the view out, or give a mask that shows the object."
        )
