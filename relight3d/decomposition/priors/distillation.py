"""Score distillation as a loss with named parts: what is asked, how it counts, where, of whom.

The gradient on encoded maps is weight(t) * residual, whatever the variant; the network is never
differentiated. Photos show everything but the gain, so nothing here has to be louder than them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import huber_loss, interpolate

from relight3d.core.color import linear_from_srgb
from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.priors.gauge import gain_between, without_gain
from relight3d.decomposition.priors.interface import DiffusionPrior, noised
from relight3d.decomposition.priors.residuals import Helpers, Question, Recipe, residual

Weight = Literal["noise", "one", "dreamfusion"]


@dataclasses.dataclass(frozen=True)
class Scoring:
    """How a residual becomes a loss."""

    weight: Weight = "noise"
    """Of time: s^2, 1, or a s, which is s^2 on differences of noise."""
    huber: float = 0.1
    """Larger residuals pull no harder than this one, in units of x; 0: all as they are."""
    channels: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"albedo": 1.0, "roughness": 0.5, "metallic": 0.0}
    )
    """Weight of each map; those of no name count 1. Not of latents, which mix them."""
    gauge: bool = True
    """Leave the albedo's gain as it is. Not of latents."""

    def __post_init__(self) -> None:
        """Refuse negative weights."""
        if self.huber < 0 or any(value < 0 for value in self.channels.values()):
            raise ConfigurationError("Weights of score distillation must not be negative.")


@dataclasses.dataclass(frozen=True)
class Distilled:
    """A loss, and what it came from."""

    loss: Float[Tensor, ""]
    wanted: Float[Tensor, "B D h w"]
    """What the variant would have instead of `x`, after the gauge."""
    residual_rms: float


def score_distillation(
    prior: DiffusionPrior,
    maps: Float[Tensor, "B C H W"],
    condition: object,
    mask: Float[Tensor, "B 1 H W"],
    t: Float[Tensor, " B"],
    noise: Float[Tensor, "B D h w"],
    recipe: Recipe,
    scoring: Scoring,
    helpers: Helpers | None = None,
) -> Distilled:
    """The loss of one step. Differentiable in `maps`.

    Args:
        prior: Any.
        maps: Rendered, 0 to 1, coded as the prior declares.
        condition: Of its `prepare`, of the same views.
        mask: Where a surface is; weights.
        t: Times, 0 to 1.
        noise: As large as the encoded maps; normal, or of `noise.antithetic` or `on_surface`.
        recipe: Which variant.
        scoring: What counts how much.
        helpers: What 'vsd' and 'vdm' learn.

    Raises:
        ConfigurationError: Noise of another size than the encoded maps; a missing helper.
    """
    x = prior.encode(maps)
    if noise.shape != x.shape:
        raise ConfigurationError(
            f"Noise of {list(noise.shape)} for encoded maps of {list(x.shape)}."
        )
    asked = Question(x.detach(), t, noise, condition)
    wanted = asked.x - residual(prior, asked, recipe, helpers or Helpers())
    where = interpolate(mask, x.shape[-2:], mode="area").expand_as(x)
    if not prior.spec.latent:
        albedo = [one for one in prior.spec.maps if one.name == "albedo"]
        if scoring.gauge and albedo:
            if albedo[0].space != "srgb":
                raise ConfigurationError(
                    f"The gauge expects albedo in sRGB, prior '{prior.spec.name}' has it "
                    f"{albedo[0].space}: switch the gauge off."
                )
            wanted = _gauged(prior, asked.x, wanted, where[:, :1])
        where = where * _channel_weights(prior, scoring.channels).to(where)
    away = x - wanted
    share = where / where.sum().clamp_min(1e-12)
    loss = (share * _time_weight(prior, t, scoring.weight) * _robust(away, scoring.huber)).sum()
    return Distilled(loss, wanted, float(away.detach().square().mean().sqrt()))


def student_loss(
    prior: DiffusionPrior,
    maps: Float[Tensor, "B C H W"],
    condition: object,
    t: Float[Tensor, " B"],
    noise: Float[Tensor, "B D h w"],
    helpers: Helpers,
) -> Float[Tensor, ""]:
    """What the student of 'vsd' learns by: to denoise what is rendered. Not differentiable in maps.

    Mean squared error of clean maps, which unlike that of noise is finite at t = 1.
    """
    if helpers.student is None:
        raise ConfigurationError("There is no student to teach.")
    x = prior.encode(maps).detach()
    return (helpers.student(noised(prior, x, noise, t), t, condition).x0 - x).square().mean()


def _gauged(prior: DiffusionPrior, x: Tensor, wanted: Tensor, where: Tensor) -> Tensor:
    """`wanted` with the albedo as bright as it is in `x`."""
    part = prior.spec.slice_of("albedo")
    now, then = (prior.decode(value)[:, part].clamp(0.0, 1.0) for value in (x, wanted))
    gain = gain_between(linear_from_srgb(now), linear_from_srgb(then), where)
    maps = prior.decode(wanted).clone()
    maps[:, part] = without_gain(then, gain)
    return prior.encode(maps)


def _channel_weights(prior: DiffusionPrior, weights: Mapping[str, float]) -> Tensor:
    values = [weights.get(one.name, 1.0) for one in prior.spec.maps for _ in range(one.channels)]
    return torch.tensor(values)[:, None, None]


def _time_weight(prior: DiffusionPrior, t: Tensor, weight: Weight) -> Tensor:
    a, s = prior.marginals(t)
    return {"noise": s.square(), "one": torch.ones_like(s), "dreamfusion": a * s}[weight]


def _robust(away: Tensor, huber: float) -> Tensor:
    """Half the square; with a limit, of which the gradient ends there."""
    if not huber:
        return 0.5 * away.square()
    return huber_loss(away, torch.zeros_like(away), reduction="none", delta=huber)
