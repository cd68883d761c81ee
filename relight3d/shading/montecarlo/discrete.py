"""Draw from a long list of weights."""

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Discrete:
    """N items by their probability, drawn by inverting its running sum.

    An alias table (Walker 1974) answers in constant time, but scatters neighbouring numbers over
    all items. Here numbers that are spread evenly pick every item, and every run of items, as often
    as it is due, give or take one: a sun of one texel gets its share of each pixel's rays.
    """

    probability: Float[Tensor, " N"]
    """Of each item; they sum to 1. Float64."""
    ends: Float[Tensor, " N"]
    """Running sum of the probabilities; the last is 1."""

    @classmethod
    def of(cls, weights: Float[Tensor, " N"]) -> "Discrete":
        """Of weights >= 0; all alike if all are 0."""
        weights = weights.detach().double().clamp_min(0.0)
        total = weights.sum()
        even = torch.full_like(weights, 1.0 / len(weights))
        probability = torch.where(total > 0.0, weights / total.clamp_min(1e-300), even)
        sums = probability.cumsum(0)
        return cls(probability, sums / sums[-1])

    def pick(self, selection: Float[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
        """Items for uniform numbers in [0, 1), float64; never one of probability 0."""
        found = torch.searchsorted(self.ends, selection.double().contiguous(), right=True)
        return found.clamp_max(len(self.ends) - 1)
