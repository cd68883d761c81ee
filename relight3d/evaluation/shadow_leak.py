"""Whether shadows were baked into the albedo: does the albedo's error follow the shading?

A photo is albedo times shading. A method that cannot tell a shadow from dark paint leaves a share
of the shading in its albedo, albedo * shading^p, and then the error of log albedo is p log shading:
fully correlated, for any p > 0. The correlation says how consistently shading leaks, not how much.
"""

import numpy as np
from jaxtyping import Bool, Float

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.checks import require_finite, require_same_shape
from relight3d.evaluation.materials import pearson

DARKEST = 1.0 / 255.0
"""Pixels in which the linear luminance of predicted albedo, true albedo or photo is below this are
left out: their logarithm is mostly noise."""

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_SMALLEST_STD = 1e-5
"""Of natural logarithms. A smaller spread is rounding: there is no error, or no shading."""


def shadow_leak(
    albedo: Float[np.ndarray, "*any 3"],
    true_albedo: Float[np.ndarray, "*any 3"],
    photo: Float[np.ndarray, "*any 3"],
    where: Bool[np.ndarray, "*any"],
) -> float | None:
    """Pearson correlation of log albedo error with log shading, over one view or pixels of many.

    Both are of luminance (Rec. 709): log albedo - log true albedo, and log photo - log true albedo.
    A constant factor on the albedo, or an exposure, changes nothing.

    Args:
        albedo: Predicted, linear.
        true_albedo: Linear.
        photo: Linear, under the light the albedo was recovered from.
        where: The foreground.

    Returns:
        In [-1, 1]. +1: shadows are baked into the albedo; 0: the error has nothing to do with
        shading; -1: shadows were overcompensated. None where it is undefined: an albedo that is
        perfect up to a factor, constant shading, or fewer than three pixels bright enough.

    Raises:
        EvaluationError: Shapes that differ, NaN, infinity or negative values in the foreground.
    """
    require_same_shape(albedo=albedo, true_albedo=true_albedo, photo=photo)
    require_same_shape(mask=where, picture=albedo[..., 0])
    luminances = {
        name: picture[where].astype(np.float64) @ _LUMINANCE
        for name, picture in (("albedo", albedo), ("true_albedo", true_albedo), ("photo", photo))
    }
    require_finite(**luminances)
    for name, values in luminances.items():
        if (values < 0).any():
            raise EvaluationError(
                f"{name.replace('_', ' ')}: linear luminance {values.min():.6g} is negative. Clip "
                "it at 0, or mend what wrote it."
            )
    together = np.stack(list(luminances.values()))
    ours, true, seen = np.log(together[:, (together >= DARKEST).all(0)])
    if len(ours) < 3:
        return None
    return pearson(ours - true, seen - true, _SMALLEST_STD)
