"""Predictions as a target: fused over views, free of gain, believed as far as they are sure."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import huber_loss

from relight3d.decomposition.objective import DARKEST
from relight3d.decomposition.priors.gauge import weighted_median


def confidence(spread: Float[Tensor, "*any"], scale: float = 0.1) -> Float[Tensor, "*any"]:
    """1 where all samples agree, 1 / e where they differ by `scale`."""
    return torch.exp(-spread / scale)


def anchor_loss(
    albedo_linear: Float[Tensor, "P 3"],
    predicted_linear: Float[Tensor, "P 3"],
    weight: Float[Tensor, "P 1"],
    *,
    huber: float = 0.2,
) -> Float[Tensor, ""]:
    """Mean robust difference of log albedos less their common gain. Differentiable in the first.

    The gain of each channel is the weighted median of the differences, measured anew and held: the
    loss does not change when all of the albedo is scaled.
    """
    if not bool((weight > 0).any()):
        return albedo_linear.sum() * 0.0
    away = albedo_linear.clamp_min(DARKEST).log() - predicted_linear.clamp_min(DARKEST).log()
    away = away - weighted_median(away.detach(), weight.expand_as(away))
    robust = huber_loss(away, torch.zeros_like(away), reduction="none", delta=huber)
    return (robust * weight).sum() / (weight.sum() * 3)


@torch.no_grad()
def fuse(
    values: Float[Tensor, "M ch"],
    weights: Float[Tensor, " M"],
    owners: Int[Tensor, " M"],
    count: int,
) -> tuple[Float[Tensor, "N ch"], Float[Tensor, " N"]]:
    """What many views say of each splat, as one value: the weighted median of each channel.

    Args:
        values: One row for each view of a splat.
        weights: Contribution times confidence; not negative.
        owners: The splat of each row.
        count: Splats in all.

    Returns:
        The medians, 0 where nobody said anything, and the weight that spoke.
    """
    total = values.new_zeros(count).index_add_(0, owners, weights)
    out = values.new_zeros(count, values.shape[1])
    for channel in range(values.shape[1]):
        by_value = values[:, channel].argsort(stable=True)
        order = by_value[owners[by_value].argsort(stable=True)]  # by splat, then by value
        owner = owners[order]
        running = weights[order].double().cumsum(0)
        before = torch.cat([running.new_zeros(1), running])[
            torch.searchsorted(owner.contiguous(), torch.arange(count).to(owner))
        ]
        reached = running - before[owner] >= 0.5 * total[owner].double()
        place = torch.arange(len(order)).to(owner)
        first = torch.full_like(total, len(order), dtype=place.dtype).scatter_reduce_(
            0, owner[reached], place[reached], "amin"
        )
        seen = (total > 0) & (first < len(order))
        out[seen, channel] = values[order[first[seen]], channel]
    return out, total
