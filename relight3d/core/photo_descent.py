"""Gradient descent on named tensors, one photo a step: what both stages share as jobs."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from relight3d.core.adam import Adam
from relight3d.core.job import step_generator
from relight3d.core.photos import Photo


class PhotoDescent:
    """Parameters, their moments, and the order of photos; `step` is the subclass's."""

    name: str
    constant: frozenset[str] = frozenset()
    """Parameters that are stored but never change."""

    def __init__(self, photos: Sequence[Photo], seed: int, device: torch.device | str) -> None:
        """No parameters yet; `own` sets them."""
        self.photos, self.seed, self.device = photos, seed, torch.device(device)
        self.steps_done = 0
        self.optimizer = Adam()
        self.parameters: dict[str, Tensor] = {}

    def own(self, parameters: Mapping[str, Tensor]) -> None:
        """Copies of these become the parameters, as leaves of the graph."""
        self.parameters = {
            name: value.detach().clone().to(self.device).requires_grad_(name not in self.constant)
            for name, value in parameters.items()
        }

    def photo_index(self, step: int) -> int:
        """Every photo once per epoch, in an order of the epoch's own."""
        epoch, place = divmod(step, len(self.photos))
        generator = step_generator(self.seed, f"{self.name}/epoch", epoch)
        return int(torch.randperm(len(self.photos), generator=generator)[place])

    def state_tensors(self) -> dict[str, Tensor]:
        """Parameters and moments: all that later steps depend on."""
        state = {f"parameters/{n}": p.detach() for n, p in self.parameters.items()}
        return state | {f"adam/{n}": t for n, t in self.optimizer.state_tensors().items()}

    def load_state_tensors(self, tensors: Mapping[str, Tensor], steps_done: int) -> None:
        """Continue from `state_tensors()`."""
        parts: dict[str, dict[str, Tensor]] = {"parameters": {}, "adam": {}}
        for key, tensor in tensors.items():
            group, name = key.split("/", 1)
            parts[group][name] = tensor.to(self.device)
        self.own(parts["parameters"])
        self.optimizer.load_state_tensors(parts["adam"])
        self.steps_done = steps_done
