"""Formulas of image and normal quality, on values as they are stored in pictures.

Pictures are sRGB-encoded in [0, 1]. Pooled PSNR is that of one mean squared error over all pixels,
channels and views: the stricter convention (a mean of PSNRs is never smaller). NaN never passes:
every formula raises `EvaluationError` for it.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.checks import require_finite, require_same_shape, require_some

Picture = Float[np.ndarray, "H W 3"]


class PooledError:
    """Collects squared errors over views, so that no more than one view is in memory."""

    def __init__(self) -> None:
        """Nothing collected."""
        self._total, self._count = 0.0, 0

    def add(self, picture: Float[np.ndarray, "*any"], truth: Float[np.ndarray, "*any"]) -> None:
        """Count every value of two arrays of one shape."""
        assert picture.shape == truth.shape, (picture.shape, truth.shape)
        total = float(np.square(picture.astype(np.float64) - truth).sum())
        if not math.isfinite(total):
            require_finite(picture=picture, truth=truth)
            raise EvaluationError("The squared error overflows: values far outside [0, 1].")
        self._total += total
        self._count += truth.size

    def psnr(self) -> float:
        """In dB, for values in [0, 1]; infinite for equal pictures."""
        assert self._count, "no view was counted"
        return decibels(self._total / self._count)


def decibels(mean_squared_error: float) -> float:
    """PSNR of values in [0, 1]."""
    return math.inf if mean_squared_error == 0 else -10.0 * math.log10(mean_squared_error)


def psnr(picture: Float[np.ndarray, "*any"], truth: Float[np.ndarray, "*any"]) -> float:
    """PSNR of one picture in dB, channels pooled."""
    error = PooledError()
    error.add(picture, truth)
    return error.psnr()


def psnr_per_channel(picture: Picture, truth: Picture) -> float:
    """Mean of the PSNRs of the three channels in dB, the habit of IRGS, R3DG and SVG-IR.

    Never smaller than `psnr`; infinite as soon as one channel is equal, because that one is.
    """
    require_same_shape(picture=picture, truth=truth)
    return sum(psnr(picture[..., c], truth[..., c]) for c in range(3)) / 3


def angles_deg(
    normals: Float[np.ndarray, "H W 3"], truth: Float[np.ndarray, "H W 3"]
) -> Float[np.ndarray, "H W"]:
    """Angle between two fields of vectors of any length; 90 where one is zero."""
    require_finite(normals=normals, truth=truth)
    lengths = np.linalg.norm(normals, axis=-1) * np.linalg.norm(truth, axis=-1)
    cosine = (normals * truth).sum(-1) / np.maximum(lengths, 1e-12)
    return np.degrees(np.arccos(np.clip(np.where(lengths > 1e-12, cosine, 0.0), -1.0, 1.0)))


@dataclasses.dataclass(frozen=True)
class AngularError:
    """Angles between two fields of directions, in degrees in [0, 180]."""

    mean_deg: float
    median_deg: float


def angular_error(
    normals: Float[np.ndarray, "H W 3"],
    truth: Float[np.ndarray, "H W 3"],
    where: Bool[np.ndarray, "H W"],
) -> AngularError:
    """Mean and median of `angles_deg` over the pixels `where`.

    Raises:
        EvaluationError: NaN among those pixels, or no pixel at all.
    """
    require_same_shape(normals=normals, truth=truth)
    require_some(where)
    angles = angles_deg(normals[where][None], truth[where][None])
    return AngularError(float(angles.mean()), float(np.median(angles)))
