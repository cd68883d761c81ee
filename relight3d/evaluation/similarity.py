"""Structural similarity (Wang et al. 2004) under the conventions different papers score with.

They differ in the window and in what happens at the border, by up to several hundredths in the same
pictures. Common to all: constants K1 = 0.01 and K2 = 0.03, data range 1, population (not sample)
covariance, one channel at a time, mean over channels and over every window counted. Float64.
"""

import dataclasses
import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError, EvaluationError
from relight3d.evaluation.checks import require_finite, require_same_shape
from relight3d.evaluation.metrics import Picture

Border = Literal["zero", "valid", "reflect"]
K1, K2 = 0.01, 0.03


@dataclasses.dataclass(frozen=True)
class SsimConvention:
    """A window and a border."""

    window: int
    """Width of the square window in pixels; odd."""
    sigma: float | None
    """Standard deviation of the Gaussian window in pixels, cut off at `window`; None: a box."""
    border: Border
    """'zero': black around the picture, full frame counted. 'reflect': mirrored about the outermost
    pixels (not repeated), full frame counted. 'valid': only windows inside the picture count."""

    def __post_init__(self) -> None:
        """Refuse impossible windows."""
        if self.window < 1 or self.window % 2 == 0:
            raise ConfigurationError(f"An SSIM window must be odd and positive, got {self.window}.")
        if self.sigma is not None and not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ConfigurationError(f"The sigma of an SSIM window must be > 0, got {self.sigma}.")
        if self.border not in ("zero", "valid", "reflect"):
            raise ConfigurationError(
                f"The border of SSIM is 'zero', 'valid' or 'reflect', got {self.border!r}."
            )

    def taps(self) -> list[float]:
        """Weights of the window along one axis; they sum to 1."""
        if self.sigma is None:
            return [1.0 / self.window] * self.window
        half = self.window // 2
        weights = [math.exp(-0.5 * ((k - half) / self.sigma) ** 2) for k in range(self.window)]
        return [weight / sum(weights) for weight in weights]


GAUSSIAN_ZERO = SsimConvention(11, 1.5, "zero")
"""3DGS and what grew from it (R3DG, GS-IR, SVG-IR, IRGS); `core.ssim`."""

GAUSSIAN_VALID = SsimConvention(11, 1.5, "valid")
"""Wang et al.; mip-NeRF and TensoIR (`rgb_ssim`); scikit-image's `structural_similarity` with
gaussian_weights=True, sigma=1.5, use_sample_covariance=False."""

KORNIA_3 = SsimConvention(3, 1.5, "reflect")
"""kornia's `ssim` with window 3: Stanford-ORB."""


def ssim(picture: Picture, truth: Picture, convention: SsimConvention = GAUSSIAN_ZERO) -> float:
    """Mean structural similarity in [-1, 1], 1 for equal pictures.

    Args:
        picture: sRGB-encoded in [0, 1].
        truth: sRGB-encoded in [0, 1].
        convention: Window and border.

    Raises:
        EvaluationError: NaN or infinity, shapes that differ, or a picture smaller than the window.
    """
    require_same_shape(picture=picture, truth=truth)
    require_finite(picture=picture, truth=truth)
    if min(picture.shape[:2]) < convention.window:
        raise EvaluationError(
            f"SSIM with a window of {convention.window} x {convention.window} pixels is not "
            f"defined for {picture.shape[1]} x {picture.shape[0]}. Score larger pictures, or leave "
            "SSIM out."
        )
    x, y = (_planes(array) for array in (picture, truth))
    mu_x, mu_y, xx, yy, xy = (_filter(m, convention) for m in (x, y, x * x, y * y, x * y))
    c1, c2 = K1**2, K2**2
    top = (2 * mu_x * mu_y + c1) * (2 * (xy - mu_x * mu_y) + c2)
    bottom = (mu_x**2 + mu_y**2 + c1) * ((xx - mu_x**2) + (yy - mu_y**2) + c2)
    return float((top / bottom).mean())


def _planes(picture: Picture) -> Float[Tensor, "3 H W"]:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).double()


def _filter(planes: Float[Tensor, "M H W"], convention: SsimConvention) -> Float[Tensor, "M _ _"]:
    """Weighted mean over the window, one axis after the other."""
    half = convention.window // 2
    if convention.border != "valid" and half:
        mode = "constant" if convention.border == "zero" else "reflect"
        planes = torch.nn.functional.pad(planes, (half,) * 4, mode=mode)
    for axis in (1, 2):
        length = planes.shape[axis] - 2 * half
        total = torch.zeros_like(planes.narrow(axis, 0, length))
        for k, weight in enumerate(convention.taps()):
            total.add_(planes.narrow(axis, k, length), alpha=weight)
        planes = total
    return planes
