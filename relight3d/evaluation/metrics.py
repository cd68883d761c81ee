"""Formulas of image and normal quality, on values as they are stored in pictures.

Pictures are sRGB-encoded in [0, 1]. Pooled PSNR is that of one mean squared error over all pixels,
channels and views: the stricter convention (a mean of PSNRs is never smaller).
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float

from relight3d.core.ssim import ssim

Picture = Float[np.ndarray, "H W 3"]


class PooledError:
    """Collects squared errors over views, so that no more than one view is in memory."""

    def __init__(self) -> None:
        """Nothing collected."""
        self._total, self._count = 0.0, 0

    def add(self, picture: Float[np.ndarray, "*any"], truth: Float[np.ndarray, "*any"]) -> None:
        """Count every value of two arrays of one shape."""
        assert picture.shape == truth.shape, (picture.shape, truth.shape)
        self._total += float(np.square(picture.astype(np.float64) - truth).sum())
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


def mean_ssim(picture: Picture, truth: Picture) -> float:
    """Structural similarity of one picture (`core.ssim`)."""
    return float(ssim(torch.from_numpy(picture).float(), torch.from_numpy(truth).float()))


def over(color: Picture, alpha: Float[np.ndarray, "H W 1"], background: float) -> Picture:
    """Blend a straight-alpha picture over grey in its stored, encoded values, as TensoIR does."""
    return color * alpha + (1.0 - alpha) * background


def angles_deg(
    normals: Float[np.ndarray, "H W 3"], truth: Float[np.ndarray, "H W 3"]
) -> Float[np.ndarray, "H W"]:
    """Angle between two fields of vectors of any length; 90 where one is zero."""
    lengths = np.linalg.norm(normals, axis=-1) * np.linalg.norm(truth, axis=-1)
    cosine = (normals * truth).sum(-1) / np.maximum(lengths, 1e-12)
    return np.degrees(np.arccos(np.clip(np.where(lengths > 1e-12, cosine, 0.0), -1.0, 1.0)))


class BestGain:
    """Least-squares factor per channel that takes some pictures to others; black gives 1."""

    def __init__(self) -> None:
        """Nothing collected."""
        self._cross, self._square = np.zeros(3), np.zeros(3)

    def add(self, picture: Picture, truth: Picture, where: Bool[np.ndarray, "H W"]) -> None:
        """Count the pixels `where`."""
        values = picture[where].astype(np.float64)
        self._cross += (values * truth[where]).sum(0)
        self._square += np.square(values).sum(0)

    def gain(self) -> Float[np.ndarray, "3"]:
        """The factors."""
        return np.where(self._square > 0, self._cross / np.maximum(self._square, 1e-12), 1.0)
