"""Error of a recovered environment map, up to what photos cannot tell: brightness, often a turn.

Both maps are averaged to one size, weighted by solid angle, and the recovered one is scaled and
turned about the vertical (+z) to fit the true one best. Layout and sign of the turn are those of
`core.conventions` and `shading.latlong`.
"""

import dataclasses
import math

import numpy as np
import torch
from jaxtyping import Float

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.alignment import Gain
from relight3d.evaluation.checks import require_finite
from relight3d.shading import latlong

_TIE = 1e-9
"""Turns whose errors differ by less than this share of the energy fit equally well."""


@dataclasses.dataclass(frozen=True)
class EnvironmentFit:
    """How well the recovered map fits once scaled and turned."""

    relative_rmse: float
    """Root of squared error over squared truth, solid-angle weighted: 0 perfect, 1 like black."""
    scale: Gain
    """What the recovered map is multiplied by, per channel; never negative."""
    rotation_deg: float
    """How far the recovered map is turned, counter-clockwise about +z, in (-180, 180]."""


@dataclasses.dataclass(frozen=True)
class EnvironmentScore:
    """The four answers."""

    per_channel: EnvironmentFit
    """One scale per channel, best turn."""
    common: EnvironmentFit
    """One scale for all channels, best turn."""
    per_channel_unturned: EnvironmentFit
    common_unturned: EnvironmentFit


def environment_error(
    recovered: Float[np.ndarray, "H W 3"], truth: Float[np.ndarray, "h w 3"], height: int = 64
) -> EnvironmentScore:
    """Compare two lat-long maps of any sizes.

    Args:
        recovered: Linear radiance.
        truth: Linear radiance.
        height: Both are compared at height x 2 height texels; the turn is found to a whole column,
            180 / height degrees (2.8 at 64).

    Returns:
        Fits that carry recovered to truth: truth = scale * latlong.rotate(recovered, rotation).
        Of turns that fit equally well the smallest is given.

    Raises:
        EvaluationError: NaN, infinity, or a true map that is black.
    """
    require_finite(recovered=recovered, truth=truth)
    ours, true = (_resampled(array, height) for array in (recovered, truth))
    weight = latlong.solid_angles(height, 2 * height, dtype=torch.float64).numpy()[..., None]
    energy = (weight * true**2).sum((0, 1))
    if not energy.sum() > 0:
        raise EvaluationError(
            "The true environment map is black, so no relative error is defined. Is it the right "
            "file?"
        )
    power = (weight * ours**2).sum((0, 1))
    # Turned by k columns, the recovered map shows column j + k at column j (latlong.rotate).
    spectrum = np.conj(np.fft.rfft(weight * true, axis=1)) * np.fft.rfft(ours, axis=1)
    cross = np.fft.irfft(spectrum, n=2 * height, axis=1).sum(0)
    fits = [
        _best(cross[:turns], power, energy, common)
        for turns in (2 * height, 1)
        for common in (False, True)
    ]
    exact = [_finished(fit, ours, true, weight, energy) for fit in fits]
    return EnvironmentScore(exact[0], exact[1], exact[2], exact[3])


def _resampled(environment: Float[np.ndarray, "H W 3"], height: int) -> Float[np.ndarray, "h w 3"]:
    return latlong.downsample(torch.from_numpy(environment).double(), height).numpy()


def _best(
    cross: Float[np.ndarray, "turns 3"],
    power: Float[np.ndarray, "3"],
    energy: Float[np.ndarray, "3"],
    common: bool,
) -> tuple[int, Float[np.ndarray, "3"]]:
    """Columns to turn by, and least-squares scales, from the correlations of every turn."""
    if common:
        cross = np.repeat(cross.sum(1, keepdims=True), 3, axis=1)
        power = np.full(3, power.sum())
    scale = np.where(power > 0, np.maximum(cross, 0) / np.where(power > 0, power, 1), 0.0)
    gained = (scale * cross)[:, :1] if common else scale * cross
    error = energy.sum() - gained.sum(1)
    count = len(error)
    turns = sorted(range(count), key=lambda k: (min(k, count - k), k))
    tolerated = error.min() + _TIE * energy.sum()
    best = next(k for k in turns if error[k] <= tolerated)
    return best, scale[best]


def _finished(
    fit: tuple[int, Float[np.ndarray, "3"]],
    ours: Float[np.ndarray, "h w 3"],
    true: Float[np.ndarray, "h w 3"],
    weight: Float[np.ndarray, "h w 1"],
    energy: Float[np.ndarray, "3"],
) -> EnvironmentFit:
    """The error taken from the maps themselves: the expanded square would lose small ones."""
    turn, scale = fit
    error = (weight * (scale * np.roll(ours, -turn, axis=1) - true) ** 2).sum()
    degrees = 360.0 * turn / ours.shape[1]
    red, green, blue = scale.tolist()
    return EnvironmentFit(
        math.sqrt(error / energy.sum()),
        (red, green, blue),
        degrees - 360.0 if degrees > 180.0 else degrees,
    )
