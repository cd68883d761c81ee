"""A long piece of work that can be interrupted and resumed with the same result.

The pipeline owns the loop (progress, checkpoints, Ctrl-C); a stage owns one step. All randomness
of step k comes from `step_generator(seed, name, k)`, so no generator state needs saving, and a
resumed run repeats an undisturbed one bit for bit.
"""

import zlib
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Job(Protocol):
    """One resumable stage."""

    name: str
    """Short, unique within a run: names the checkpoint and the progress bar."""
    total_steps: int
    steps_done: int

    def step(self) -> Mapping[str, float]:
        """Do step `steps_done`, increase it by one, and return named scalars to log."""
        ...

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything later steps depend on, except settings, capture, seed and `steps_done`."""
        ...

    def load_state_tensors(self, tensors: Mapping[str, Tensor], steps_done: int) -> None:
        """Continue as if `steps_done` steps had just been done."""
        ...


def step_generator(seed: int, name: str, step: int) -> torch.Generator:
    """CPU generator for one step of one job; independent of every other step's."""
    mixed = zlib.crc32(f"{seed}/{name}/{step}".encode())
    return torch.Generator().manual_seed((seed << 32) ^ mixed)
