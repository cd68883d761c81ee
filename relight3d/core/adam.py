"""Adam (Kingma and Ba 2015) over named tensors whose first axis may grow or be reassigned.

torch.optim keeps its state behind parameter identity; splats are relocated and added while
fitting, so the moments are kept by name and can be indexed like the parameters.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """First and second moments per name; learning rates are given at each step."""

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-15) -> None:
        """A tiny eps, as in 3DGS: gradients of single splats are of the order 1e-6."""
        self.betas = betas
        self.eps = eps
        self.moments: dict[str, tuple[Tensor, Tensor]] = {}
        self.steps: dict[str, int] = {}

    @torch.no_grad()
    def step(self, parameters: Mapping[str, Tensor], learning_rates: Mapping[str, float]) -> None:
        """Update in place every parameter that has a learning rate and a gradient."""
        for name, rate in learning_rates.items():
            parameter = parameters[name]
            if parameter.grad is None or rate == 0.0:
                continue
            first, second = self._moments(name, parameter)
            self.steps[name] = count = self.steps.get(name, 0) + 1
            beta1, beta2 = self.betas
            adam(  # one pass over memory instead of six
                [parameter], [parameter.grad], [first], [second], [],
                [torch.tensor(count - 1.0, device=parameter.device)],
                fused=True, amsgrad=False, maximize=False, weight_decay=0.0,
                beta1=beta1, beta2=beta2, lr=rate, eps=self.eps,
            )  # fmt: skip

    def _moments(self, name: str, parameter: Tensor) -> tuple[Tensor, Tensor]:
        if name not in self.moments:
            zeros = torch.zeros_like(parameter, requires_grad=False)
            self.moments[name] = (zeros, zeros.clone())
        return self.moments[name]

    def forget(self, rows: Tensor, names: list[str]) -> None:
        """Zero the moments of some rows."""
        for name in names:
            for moment in self.moments.get(name, ()):
                moment[rows] = 0

    def grow(self, count: int, names: list[str]) -> None:
        """Append `count` rows of zero moments."""
        for name in names:
            if name in self.moments:
                self.moments[name] = tuple(  # pyright: ignore[reportArgumentType]
                    torch.cat([m, m.new_zeros(count, *m.shape[1:])]) for m in self.moments[name]
                )

    def state_tensors(self) -> dict[str, Tensor]:
        """The whole state."""
        state = {}
        for name, (first, second) in self.moments.items():
            state |= {f"{name}.first": first, f"{name}.second": second}
            state[f"{name}.steps"] = torch.tensor(self.steps[name])
        return state

    def load_state_tensors(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_tensors()`."""
        names = {key.rsplit(".", 1)[0] for key in state}
        self.moments = {
            n: (state[f"{n}.first"].clone(), state[f"{n}.second"].clone()) for n in names
        }
        self.steps = {n: int(state[f"{n}.steps"]) for n in names}
