"""Decibels and angles: the two formulas under every score of pictures and normals."""

import math

import numpy as np
from jaxtyping import Float

from relight3d.evaluation.checks import require_finite

Picture = Float[np.ndarray, "H W 3"]


def decibels(mean_squared_error: float) -> float:
    """PSNR of values in [0, 1]; infinite for equal ones."""
    return math.inf if mean_squared_error == 0 else -10.0 * math.log10(mean_squared_error)


def angles_deg(
    normals: Float[np.ndarray, "H W 3"], truth: Float[np.ndarray, "H W 3"]
) -> Float[np.ndarray, "H W"]:
    """Angle between two fields of vectors of any length; 90 where one is zero.

    By the arc tangent of cross and dot product, which unlike the arc cosine is exact near 0.
    """
    require_finite(normals=normals, truth=truth)
    a, b = normals.astype(np.float64), truth.astype(np.float64)
    across, along = np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)
    no_length = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1) <= 1e-12
    return np.where(no_length, 90.0, np.degrees(np.arctan2(across, along)))
