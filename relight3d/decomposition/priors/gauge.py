"""The gain that photos leave open: albedo times g under light over g looks the same.

A prior guesses it from what albedos usually are; the object at hand need not be usual. So the gain
between what is rendered and what a prior predicts is measured, and taken out.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.color import linear_from_srgb, srgb_from_linear
from relight3d.decomposition.objective import DARKEST


@torch.no_grad()
def gain_between(
    rendered: Float[Tensor, "B 3 H W"],
    predicted: Float[Tensor, "B 3 H W"],
    weight: Float[Tensor, "B 1 H W"],
) -> Float[Tensor, "3"]:
    """Factor of each channel that takes rendered linear albedo to the predicted one.

    The weighted median of ratios, which a shadow baked into a part of the object leaves alone.
    Ones, where no pixel has weight.
    """
    weights = weight.clamp_min(0.0).flatten()[:, None].expand(-1, 3)
    if not bool((weights > 0).any()):
        return rendered.new_ones(3)
    ratio = (predicted.clamp_min(DARKEST) / rendered.clamp_min(DARKEST)).log()
    return weighted_median(ratio.movedim(1, -1).reshape(-1, 3), weights).exp()


@torch.no_grad()
def weighted_median(
    values: Float[Tensor, "P ch"], weights: Float[Tensor, "P ch"]
) -> Float[Tensor, " ch"]:
    """Of each column the smallest value at which half of the weight is reached."""
    ordered, order = values.sort(dim=0)
    running = weights.gather(0, order).cumsum(0)
    below = (running < 0.5 * running[-1:]).sum(0).clamp_max(len(values) - 1)
    return ordered.gather(0, below[None])[0]


def without_gain(
    predicted_srgb: Float[Tensor, "B 3 H W"], gain: Float[Tensor, "3"]
) -> Float[Tensor, "B 3 H W"]:
    """Predicted albedo, display-referred, as bright as what is rendered."""
    linear = linear_from_srgb(predicted_srgb.clamp(0.0, 1.0)) / gain[:, None, None]
    return srgb_from_linear(linear)
