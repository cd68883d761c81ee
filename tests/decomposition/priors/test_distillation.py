"""The loss: its gradient is the weighted residual; masks, robustness, channels and gauge."""

import dataclasses

import pytest
import torch

from relight3d.core.color import linear_from_srgb, srgb_from_linear
from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.priors.distillation import (
    Scoring,
    score_distillation,
    student_loss,
)
from relight3d.decomposition.priors.interface import Denoised
from relight3d.decomposition.priors.residuals import Helpers, Question, Recipe, residual
from tests.decomposition.priors.oracle import maps_and_condition, noise_like, oracle

PRIOR = oracle()
MAPS, CONDITION = maps_and_condition(PRIOR)
NOISE = noise_like(MAPS)
T = torch.full((2,), 0.6, dtype=torch.float64)
WHOLE = torch.ones((2, 1, 2, 2), dtype=torch.float64)
PLAIN = Scoring("one", huber=0.0, channels={}, gauge=False)
SDS = Recipe()


def loss_of(maps: torch.Tensor, scoring: Scoring, mask: torch.Tensor = WHOLE) -> torch.Tensor:
    return score_distillation(PRIOR, maps, CONDITION, mask, T, NOISE, SDS, scoring).loss


def gradient(scoring: Scoring, mask: torch.Tensor = WHOLE) -> torch.Tensor:
    maps = MAPS.clone().requires_grad_()
    loss_of(maps, scoring, mask).backward()
    assert maps.grad is not None
    return maps.grad


RESIDUAL = residual(PRIOR, Question(PRIOR.encode(MAPS), T, NOISE, CONDITION), SDS, Helpers())


def test_the_gradient_is_the_residual() -> None:
    """Times 2, which is how encoded maps grow with maps, over all 40 values."""
    torch.testing.assert_close(gradient(PLAIN), 2 * RESIDUAL / 40, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("weight", "factor"), [("noise", 0.6545085), ("dreamfusion", 0.4755283)])
def test_time_weighs(weight: str, factor: float) -> None:
    """sin^2 and sin cos of 54 degrees."""
    scoring = dataclasses.replace(PLAIN, weight=weight)
    torch.testing.assert_close(gradient(scoring), factor * gradient(PLAIN), atol=1e-7, rtol=0)


def test_the_gradient_agrees_with_finite_differences_of_the_loss_as_it_is_held() -> None:
    """What is wanted is a constant: differences are of the loss against that constant."""
    scoring = Scoring("noise", huber=0.05, channels={"roughness": 0.5, "metallic": 0.0})
    mask = torch.rand((2, 1, 2, 2), generator=torch.Generator().manual_seed(4)).double()
    wanted = score_distillation(
        PRIOR, MAPS, CONDITION, mask, T, NOISE, SDS, scoring
    ).wanted  # fmt: skip
    channel = torch.tensor([1.0, 1.0, 1.0, 0.5, 0.0], dtype=torch.float64)[:, None, None]

    def held(maps: torch.Tensor) -> float:
        size = (PRIOR.encode(maps) - wanted).abs()
        robust = torch.where(size <= 0.05, 0.5 * size**2, 0.05 * (size - 0.025))
        return float((robust * channel * mask * 0.6545084972).sum() / (mask * channel).sum())

    found = gradient(scoring, mask)
    step = 1e-5
    for index in ((0, 0, 0, 0), (1, 2, 1, 0), (0, 3, 1, 1), (1, 4, 0, 0)):
        moved = torch.zeros_like(MAPS)
        moved[index] = step
        slope = (held(MAPS + moved) - held(MAPS - moved)) / (2 * step)
        assert float(found[index]) == pytest.approx(slope, abs=1e-6)


def test_huber_ends_the_pull() -> None:
    scoring = dataclasses.replace(PLAIN, huber=0.05)
    wanted = 2 * RESIDUAL.clamp(-0.05, 0.05) / 40
    assert float(RESIDUAL.abs().max()) > 0.05
    torch.testing.assert_close(gradient(scoring), wanted, atol=1e-9, rtol=0)


def test_where_no_surface_is_nothing_pulls() -> None:
    mask = WHOLE.clone()
    mask[:, :, 0] = 0.0
    assert float(gradient(PLAIN, mask)[:, :, 0].abs().max()) == 0.0
    assert float(gradient(PLAIN, torch.zeros_like(WHOLE)).abs().max()) == 0.0


def test_channels_weigh() -> None:
    found = gradient(dataclasses.replace(PLAIN, channels={"metallic": 0.0, "roughness": 0.5}))
    assert float(found[:, 4].abs().max()) == 0.0
    ratio = found[:, 3] / found[:, 0]
    plain = gradient(PLAIN)
    torch.testing.assert_close(ratio, 0.5 * plain[:, 3] / plain[:, 0])


def test_with_the_gauge_the_prior_does_not_say_how_bright_albedo_is() -> None:
    """A prior that wants the same albedo five times as bright wants nothing."""
    linear = linear_from_srgb(MAPS[:, :3])
    bright = MAPS.clone()
    bright[:, :3] = srgb_from_linear(0.2 * linear)
    prior = oracle()
    prior.weight = torch.zeros_like(prior.weight)
    prior.bias = PRIOR.encode(MAPS)[0].flatten()
    prior.covariance = 1e-12 * torch.eye(20, dtype=torch.float64)
    one = bright[:1].clone().requires_grad_()

    def pull(gauge: bool) -> float:
        one.grad = None
        scoring = dataclasses.replace(PLAIN, gauge=gauge)
        score_distillation(
            prior, one, CONDITION[:1], WHOLE[:1], T[:1], NOISE[:1], SDS, scoring
        ).loss.backward()
        assert one.grad is not None
        return float(one.grad[:, :3].abs().max())

    assert pull(False) > 0.01
    assert pull(True) < 1e-5


def test_a_student_learns_what_is_rendered() -> None:
    bias = torch.zeros((5, 2, 2), dtype=torch.float64, requires_grad=True)

    def student(x_t: torch.Tensor, t: torch.Tensor, condition: object) -> Denoised:
        return Denoised(bias.expand_as(x_t), x_t)

    helpers = Helpers(student=student)
    optimizer = torch.optim.Adam([bias], 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        student_loss(PRIOR, MAPS, CONDITION, T, NOISE, helpers).backward()
        optimizer.step()
    torch.testing.assert_close(bias, PRIOR.encode(MAPS).mean(0), atol=1e-3, rtol=0)
    with pytest.raises(ConfigurationError, match="no student"):
        student_loss(PRIOR, MAPS, CONDITION, T, NOISE, Helpers())


def test_distillation_descends_to_the_mean_of_the_prior() -> None:
    """Of a linear prior opposite noises cancel, so that nothing is left to chance."""
    maps = MAPS.clone().requires_grad_()
    optimizer = torch.optim.SGD([maps], 2.0)
    for _ in range(300):
        optimizer.zero_grad()
        for noise in (NOISE, -NOISE):
            score_distillation(
                PRIOR, maps, CONDITION, WHOLE, T, noise, SDS, PLAIN
            ).loss.backward()  # fmt: skip
        optimizer.step()
    mean = PRIOR.mean(CONDITION, 2).reshape(MAPS.shape)
    torch.testing.assert_close(PRIOR.encode(maps.detach()), mean, atol=1e-5, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="for encoded maps of"):
        score_distillation(PRIOR, MAPS, CONDITION, WHOLE, T, NOISE[..., :1], SDS, PLAIN)
    prior = oracle()
    linear = dataclasses.replace(prior.spec.maps[0], space="linear")
    prior.spec = dataclasses.replace(prior.spec, maps=(linear, *prior.spec.maps[1:]))
    with pytest.raises(ConfigurationError, match="has it linear: switch the gauge off"):
        score_distillation(prior, MAPS, CONDITION, WHOLE, T, NOISE, SDS, Scoring())
    with pytest.raises(ConfigurationError, match="must not be negative"):
        Scoring(huber=-1.0)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_matter(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert float(loss_of(MAPS, PLAIN)) == pytest.approx(0.5 * float(
            RESIDUAL.square().sum()) / 40, abs=1e-12)  # fmt: skip
    finally:
        torch.set_num_threads(before)
