"""Sampling by DDIM with trailing steps, its inversion, and predictions with their spread.

Trailing: a chain of n steps starts at t = 1 and not a step before it, where a model without any
signal left still expects some (Lin et al., arXiv:2305.08891). Each step needs a look at the model
there, and no division by a signal that is zero.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.priors.interface import DiffusionPrior, guided


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Maps as a prior guesses them, 0 to 1, [B, C, H, W]."""

    mean: Float[Tensor, "B C H W"]
    spread: Float[Tensor, "B C H W"]
    """Standard deviation between samples; 0 where one was drawn."""


def trailing_times(start: Float[Tensor, " B"], steps: int) -> list[Tensor]:
    """From `start` to 0, in even steps; `steps + 1` of them.

    Raises:
        ConfigurationError: No step, or a start outside (0, 1].
    """
    if steps < 1 or not bool(((start > 0.0) & (start <= 1.0)).all()):
        raise ConfigurationError(
            f"A prior samples in 1 step or more, from times in (0, 1], got {steps} from "
            f"{start.tolist()}."
        )
    return [start * ((steps - k) / steps) for k in range(steps + 1)]


@torch.no_grad()
def ddim(
    prior: DiffusionPrior,
    x: Float[Tensor, "B D h w"],
    condition: Any,
    times: Sequence[Float[Tensor, " B"]],
    guidance: float = 1.0,
) -> Float[Tensor, "B D h w"]:
    """`x` at `times[0]` carried to `times[-1]` without new noise; forwards in time it inverts."""
    for now, then in itertools.pairwise(times):
        found = guided(prior, x, now, condition, guidance)
        a, s = prior.marginals(then)
        x = a * found.x0 + s * found.eps
    return x


@torch.no_grad()
def predict(
    prior: DiffusionPrior,
    condition: Any,
    like: Float[Tensor, "B D h w"],
    *,
    mode: Literal["deterministic", "sample"] = "deterministic",
    steps: int = 1,
    samples: int = 1,
    guidance: float = 1.0,
    generator: torch.Generator | None = None,
) -> Estimate:
    """What maps the condition speaks for.

    Args:
        prior: Any.
        condition: Of its `prepare`.
        like: As large as the `x` that is looked for, and of its type; its values do not matter.
        mode: 'deterministic' asks once, at t = 1 with no noise at all: the mean of all answers,
            where the prior was made for that. 'sample' draws.
        steps: Of each sample.
        samples: How many are drawn.
        guidance: Classifier-free; 1: none.
        generator: Of the samples' noise; needed to sample.

    Raises:
        ConfigurationError: A deterministic answer of a prior whose t = 1 holds some signal; no
            generator, or no samples.
    """
    if mode == "deterministic":
        if not prior.spec.zero_terminal_snr:
            raise ConfigurationError(
                f"Prior '{prior.spec.name}' keeps some signal at t = 1, so that nothing but "
                "noise is not what it was trained on there: use mode='sample'."
            )
        once = guided(prior, torch.zeros_like(like), like.new_ones(len(like)), condition, guidance)
        mean = prior.decode(once.x0).clamp(0.0, 1.0)
        return Estimate(mean, torch.zeros_like(mean))
    if generator is None or samples < 1:
        raise ConfigurationError("mode='sample' needs a generator and at least one sample.")
    times, drawn = trailing_times(like.new_ones(len(like)), steps), []
    for _ in range(samples):
        noise = torch.randn(like.shape, generator=generator).to(like)
        drawn.append(prior.decode(ddim(prior, noise, condition, times, guidance)).clamp(0.0, 1.0))
    found = torch.stack(drawn)
    return Estimate(found.mean(0), found.std(0, unbiased=False))
