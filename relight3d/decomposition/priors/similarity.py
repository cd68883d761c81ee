"""Predictions as a kernel only: where they say 'one material', rendered maps shall be even.

The safest use of a prior, for it need not be right: a joint bilateral filter of what is rendered,
guided by what is predicted (DiffReg-PBIR, arXiv:2606.31065). Pairs of all pixels are too many; each
is compared with some anchors of its own view, drawn anew at each step.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.decomposition.objective import DARKEST


def log_albedo(
    albedo_linear: Float[Tensor, "P 3"],
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """Logarithm of albedo, and how much a difference of it counts: as much as that of albedo.

    Plain differences of albedo fall when all of it turns dark, which light can undo; those of
    logarithms do not change with a common gain, but would be ruled by what is nearly black.
    """
    held = albedo_linear.clamp_min(DARKEST)
    return held.log(), held.detach()


def similarity_loss(
    rendered: Float[Tensor, "P ch"],
    predicted: Float[Tensor, "P g"],
    weight: Float[Tensor, "P 1"],
    scale: Float[Tensor, "P ch"] | None = None,
    *,
    sigma: float,
    anchors: int,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Mean absolute difference to the joint bilateral filter. Differentiable in `rendered`.

    Args:
        rendered: Values of one view's pixels; of albedo its logarithm.
        predicted: What the prior says there; a constant.
        weight: Of each pixel, as filtered and as a neighbour; not negative.
        scale: How much a difference of each value counts; None: 1. A constant.
        sigma: Of the kernel, in units of `predicted`.
        anchors: Pixels that all others are compared with.
        generator: Of which those are; on the CPU.
    """
    count = len(rendered)
    if not count or not bool((weight > 0).any()):
        return rendered.sum() * 0.0
    chosen = torch.randperm(count, generator=generator)[:anchors].to(rendered.device)
    with torch.no_grad():
        squared = torch.cdist(predicted, predicted[chosen]).square()
        kernel = torch.exp(-squared / (2.0 * sigma**2)) * weight[chosen, 0]
        total = kernel.sum(1, keepdim=True)
        known = (total > 1e-6).to(weight) * weight  # no anchor is like this pixel: nothing to say
        kernel = kernel / total.clamp_min(1e-6)
    away = (rendered - kernel @ rendered[chosen]).abs()
    if scale is not None:
        away = away * scale
    return (away * known).sum() / (known.sum().clamp_min(1e-6) * rendered.shape[1])
