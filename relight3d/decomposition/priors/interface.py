"""What every prior can do, and what it says: pixels or latents, v, noise or clean maps alike.

Maps go in and out as [B, C, H, W] in 0 to 1, coded as `PriorSpec.maps` declares; `x`, to which
noise is added, is what `encode` makes of them, about -1 to 1. Time runs from 0, clean, to 1, noise,
with x_t = a x_0 + s eps and a^2 + s^2 = 1.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.priors.spec import PriorSpec, Target


@dataclasses.dataclass(frozen=True)
class Denoised:
    """What a prior believes of a noisy `x_t`. Exact at both ends of time."""

    x0: Float[Tensor, "B C H W"]
    eps: Float[Tensor, "B C H W"]


@runtime_checkable
class DiffusionPrior(Protocol):
    """A conditional diffusion model of material maps. Never asked for gradients in `denoise`."""

    spec: PriorSpec

    def prepare(self, pictures: Mapping[str, Float[Tensor, "B ch H W"]]) -> Any:
        """Pictures as `PriorSpec.conditions` declares them, made ready once for many calls."""
        ...

    def encode(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Differentiable."""
        ...

    def decode(self, x: Float[Tensor, "B D h w"]) -> Float[Tensor, "B C H W"]:
        """Differentiable."""
        ...

    def marginals(self, t: Float[Tensor, " B"]) -> tuple[Tensor, Tensor]:
        """Signal a and noise s at time t, each [B, 1, 1, 1]."""
        ...

    def denoise(
        self, x_t: Float[Tensor, "B D h w"], t: Float[Tensor, " B"], condition: Any
    ) -> Denoised:
        """The expected clean maps. `condition` is of `prepare`; None: unconditional."""
        ...


def cosine_marginals(t: Float[Tensor, " B"]) -> tuple[Tensor, Tensor]:
    """Signal and noise cos(pi t / 2), sin(pi t / 2): nothing but noise at t = 1, exactly."""
    angle = (t * (torch.pi / 2))[:, None, None, None]
    signal = torch.where((t >= 1.0)[:, None, None, None], 0.0, angle.cos())
    return signal, angle.sin()


def denoised_from(
    output: Float[Tensor, "B D h w"], predicts: Target, x_t: Tensor, a: Tensor, s: Tensor
) -> Denoised:
    """Clean maps and noise from whatever a network gives.

    Raises:
        ConfigurationError: NaN or infinity; or noise was predicted where there is nothing else.
    """
    if not torch.isfinite(output).all():
        raise ConfigurationError(
            f"The prior gave values that are not finite (signal {float(a.min()):.3g}, noise "
            f"{float(s.max()):.3g}). Its weights, or the precision it runs in, cannot be used."
        )
    if predicts == "v":
        return Denoised(a * x_t - s * output, s * x_t + a * output)
    if predicts == "x0":
        return Denoised(output, (x_t - a * output) / s.clamp_min(1e-6))
    if bool((a == 0).any()):
        raise ConfigurationError(
            "This prior predicts noise, and at t = 1 there is nothing else: ask at t < 1."
        )
    return Denoised((x_t - s * output) / a, output)


@torch.no_grad()
def guided(
    prior: DiffusionPrior, x_t: Tensor, t: Tensor, condition: Any, guidance: float
) -> Denoised:
    """Classifier-free guidance: null + guidance * (conditional - null); 1 asks once."""
    told = prior.denoise(x_t, t, condition)
    if guidance == 1.0:
        return told
    null = prior.denoise(x_t, t, None)
    return Denoised(
        torch.lerp(null.x0, told.x0, guidance), torch.lerp(null.eps, told.eps, guidance)
    )


def noised(prior: DiffusionPrior, x: Tensor, eps: Tensor, t: Float[Tensor, " B"]) -> Tensor:
    """`x` with noise up to time t."""
    a, s = prior.marginals(t)
    return a * x + s * eps
