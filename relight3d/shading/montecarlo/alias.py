"""Draw from a long list of weights in constant time."""

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class AliasTable:
    """N columns of equal width, each shared by at most two items (Walker 1974)."""

    probability: Float[Tensor, " N"]
    """Of each item; they sum to 1. Float64."""
    threshold: Float[Tensor, " N"]
    """How much of a column is its own item's, in [0, 1]."""
    other: Int[Tensor, " N"]
    """Whose the rest is."""

    def pick(self, selection: Float[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
        """Items for uniform numbers in [0, 1): float64, as one number picks column and share."""
        count = len(self.probability)
        place = selection.double() * count
        column = place.long().clamp_max(count - 1)
        own = place - column < self.threshold[column]
        return torch.where(own, column, self.other[column])


def alias_table(weights: Float[Tensor, " N"]) -> AliasTable:
    """The table of weights >= 0; all alike if all are 0.

    Vose's sweep without its loop: light items are filled up by heavy ones in order, so running
    sums of what lacks and of what is over tell who fills whom
    (Hübschle-Schneider and Sanders 2019, arXiv:1903.00227).
    """
    weights = weights.detach().double().clamp_min(0.0)
    total = weights.sum()
    probability = torch.where(total > 0.0, weights / total.clamp_min(1e-300), 1.0 / len(weights))
    threshold = probability * len(weights)
    other = torch.arange(len(weights), device=weights.device)
    light, heavy = (threshold < 1.0).nonzero()[:, 0], (threshold >= 1.0).nonzero()[:, 0]
    if len(light) and len(heavy):
        lack, over = (1.0 - threshold[light]).cumsum(0), (threshold[heavy] - 1.0).cumsum(0)
        before = torch.cat([lack.new_zeros(1), lack[:-1]])
        filler = torch.searchsorted(over, before, right=True).clamp_max(len(heavy) - 1)
        other[light] = heavy[filler]
        # A heavy item ends with what its last light one leaves it, and is filled by the next.
        last = torch.searchsorted(lack, over)
        left = 1.0 + over - lack[last.clamp_max(len(lack) - 1)]
        ends = last < len(lack)
        ends[-1] = False
        threshold[heavy] = torch.where(ends, left, 1.0)
        other[heavy] = torch.where(ends, heavy.roll(-1), heavy)
    return AliasTable(probability, threshold.clamp(0.0, 1.0), other)
