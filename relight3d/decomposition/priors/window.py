"""When a prior is asked at which noise: from coarse questions to fine ones."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError


@dataclasses.dataclass(frozen=True)
class TimeWindow:
    """Times of questions, drawn evenly between bounds of which the upper one sinks."""

    low: float = 0.05
    first_high: float = 0.95
    last_high: float = 0.4
    square_root: bool = False
    """Sink fast at first (HiFA, arXiv:2305.18766) instead of evenly."""

    def __post_init__(self) -> None:
        """Refuse windows that are empty at some time."""
        highs = self.first_high, self.last_high
        if not (0.0 <= self.low < min(highs) and max(highs) <= 1.0):
            raise ConfigurationError(
                "A window of times needs 0 <= low < last_high, first_high <= 1, got "
                f"{self.low}, {self.last_high}, {self.first_high}."
            )

    def high(self, done: float) -> float:
        """The upper bound when the share `done` of all work is."""
        share = min(max(done, 0.0), 1.0)
        return self.first_high + (self.last_high - self.first_high) * (
            share**0.5 if self.square_root else share
        )

    def draw(self, done: float, batch: int, generator: torch.Generator) -> Float[Tensor, " B"]:
        """One time for all views of a step, so that they answer the same question."""
        high = self.high(done)
        t = self.low + (high - self.low) * torch.rand((), generator=generator)
        return t.expand(batch).clone()
