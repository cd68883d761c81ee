"""What a prior would change of `x`: the residuals of the score distillation family.

Every variant is an update in units of clean maps. The papers' differences of noise are these times
a / s: eps_1 - eps_2 = (a / s) (x0_2 - x0_1) for answers to the same x_t, and the noise that was put
in stands for `x` itself. In this form all of them are bounded, also at t = 1, where a is 0.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.priors.interface import Denoised, DiffusionPrior, guided, noised
from relight3d.decomposition.priors.sampling import ddim, trailing_times

Variant = Literal["sds", "csd", "ssd", "ism", "multistep", "vsd", "vdm"]
INVERSION_STEP = 0.2
"""ISM walks to its first time in steps no longer than this."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What a prior is asked about."""

    x: Float[Tensor, "B D h w"]
    """Encoded maps, detached."""
    t: Float[Tensor, " B"]
    noise: Float[Tensor, "B D h w"]
    condition: Any


@dataclasses.dataclass(frozen=True)
class Helpers:
    """What some variants learn along with the scene."""

    student: Callable[[Tensor, Tensor, Any], Denoised] | None = None
    """VSD: denoises what is rendered at present, (x_t, t, condition)."""
    degrade: Callable[[Tensor], Tensor] | None = None
    """VDM: from the prior's clean maps to what is rendered at present."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How the residual is made."""

    variant: Variant = "sds"
    guidance: float = 1.0
    """Classifier-free. With 1, only 'csd', 'ssd' and 'ism' need the unconditional answer."""
    steps: int = 5
    """Of 'multistep'."""
    early: float = 0.25
    """Of 'ssd': earlier than this the condition's difference is only a length."""
    interval: float = 0.08
    """Of 'ism': between the two times whose answers it compares."""

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.steps < 1 or not 0.0 < self.interval < 1.0 or not 0.0 <= self.early <= 1.0:
            raise ConfigurationError(
                "Score distillation needs steps >= 1, 0 < interval < 1 and 0 <= early <= 1, got "
                f"{self.steps}, {self.interval} and {self.early}."
            )


@torch.no_grad()
def residual(
    prior: DiffusionPrior, asked: Question, recipe: Recipe, helpers: Helpers
) -> Float[Tensor, "B D h w"]:
    """`x` minus what the variant would have instead.

    Raises:
        ConfigurationError: A variant whose helper is not given.
    """
    return _RESIDUALS[recipe.variant](prior, asked, recipe, helpers)


def _sds(prior: DiffusionPrior, asked: Question, recipe: Recipe, helpers: Helpers) -> Tensor:
    """DreamFusion (arXiv:2209.14988) in the bounded form of HiFA (arXiv:2305.18766)."""
    x_t = noised(prior, asked.x, asked.noise, asked.t)
    return asked.x - guided(prior, x_t, asked.t, asked.condition, recipe.guidance).x0


def _csd(prior: DiffusionPrior, asked: Question, recipe: Recipe, helpers: Helpers) -> Tensor:
    """Classifier score alone (arXiv:2310.19415): what the condition adds."""
    x_t = noised(prior, asked.x, asked.noise, asked.t)
    null = prior.denoise(x_t, asked.t, None).x0
    return recipe.guidance * (null - prior.denoise(x_t, asked.t, asked.condition).x0)


def _ssd(prior: DiffusionPrior, asked: Question, recipe: Recipe, helpers: Helpers) -> Tensor:
    """Stable Score Distillation (arXiv:2312.09305): the score less its part along the noise.

    Late in time the classifier's difference; early, the rest of the conditional noise, as long as
    that difference.
    """
    x_t = noised(prior, asked.x, asked.noise, asked.t)
    told = prior.denoise(x_t, asked.t, asked.condition)
    step = recipe.guidance * (prior.denoise(x_t, asked.t, None).x0 - told.x0)
    along = _dot(told.eps, asked.noise) / _dot(asked.noise, asked.noise).clamp_min(1e-12)
    rest = told.eps - along * asked.noise
    scaled = rest * (_dot(step, step) / _dot(rest, rest).clamp_min(1e-12)).sqrt()
    return torch.where(asked.t[:, None, None, None] > recipe.early, step, scaled)


def _ism(prior: DiffusionPrior, asked: Question, recipe: Recipe, helpers: Helpers) -> Tensor:
    """Interval Score Matching (LucidDreamer, arXiv:2311.11284): noise found by inversion."""
    late = float(asked.t.max())
    if late >= 1.0 or bool((asked.t != asked.t[0]).any()):
        raise ConfigurationError(
            "'ism' divides by the signal that is left and inverts all views together: it needs "
            f"one time below 1 for all of them, got {asked.t.tolist()}."
        )
    early = max(late - recipe.interval, 0.5 * late)
    count = math.ceil(early / INVERSION_STEP)
    walk = [torch.full_like(asked.t, early * k / count) for k in range(count + 1)]
    x_s = ddim(prior, asked.x, None, walk)
    before = prior.denoise(x_s, walk[-1], None)
    x_t = noised(prior, before.x0, before.eps, asked.t)
    after = guided(prior, x_t, asked.t, asked.condition, recipe.guidance)
    a, s = prior.marginals(asked.t)
    return (s / a) * (after.eps - before.eps)


def _multistep(prior: DiffusionPrior, asked: Question, recipe: Recipe, helpers: Helpers) -> Tensor:
    """MaterialFusion (arXiv:2409.15273): against the end of a short chain of samples."""
    x_t = noised(prior, asked.x, asked.noise, asked.t)
    times = trailing_times(asked.t, recipe.steps)
    return asked.x - ddim(prior, x_t, asked.condition, times, recipe.guidance)


def _vsd(prior: DiffusionPrior, asked: Question, recipe: Recipe, helpers: Helpers) -> Tensor:
    """Variational score distillation (ProlificDreamer, arXiv:2305.16213)."""
    if helpers.student is None:
        raise ConfigurationError("'vsd' compares the prior with a student, and none was given.")
    x_t = noised(prior, asked.x, asked.noise, asked.t)
    known = helpers.student(x_t, asked.t, asked.condition).x0
    return known - guided(prior, x_t, asked.t, asked.condition, recipe.guidance).x0


def _vdm(prior: DiffusionPrior, asked: Question, recipe: Recipe, helpers: Helpers) -> Tensor:
    """Variational distribution mapping (DreamMapping, arXiv:2409.05099), without its coefficient.

    The student of VSD as a map from clean to rendered; the paper's k(t) is not used.
    """
    if helpers.degrade is None:
        raise ConfigurationError("'vdm' needs the map from clean to rendered; none was given.")
    x_t = noised(prior, asked.x, asked.noise, asked.t)
    clean = guided(prior, x_t, asked.t, asked.condition, recipe.guidance).x0
    return helpers.degrade(clean) - clean


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, "B 1 1 1"]:
    return (a * b).flatten(1).sum(1)[:, None, None, None]


_RESIDUALS: dict[str, Callable[[DiffusionPrior, Question, Recipe, Helpers], Tensor]] = {
    "sds": _sds, "csd": _csd, "ssd": _ssd, "ism": _ism, "multistep": _multistep,
    "vsd": _vsd, "vdm": _vdm,
}  # fmt: skip
