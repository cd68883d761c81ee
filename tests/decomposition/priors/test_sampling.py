"""Sampling and inversion against the closed form, and what predictions refuse."""

import dataclasses
import itertools
from math import cos, pi, sin

import pytest
import torch

from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.priors.gaussian import GaussianPrior
from relight3d.decomposition.priors.sampling import ddim, predict, trailing_times
from tests.decomposition.priors.oracle import maps_and_condition, noise_like, oracle


def chain_on_paper(
    prior: GaussianPrior, x: torch.Tensor, condition: torch.Tensor, times: list[float]
) -> torch.Tensor:
    """DDIM's end: along each eigenvector of the covariance every step is a factor."""
    values, vectors = torch.linalg.eigh(prior.covariance)
    mean = condition @ prior.weight.T + prior.bias
    waves = [(0.0 if t >= 1.0 else cos(pi * t / 2), sin(pi * t / 2)) for t in times]
    away = (x.flatten(1) - waves[0][0] * mean) @ vectors
    for (a, s), (a_next, s_next) in itertools.pairwise(waves):
        away = away * (a * a_next * values + s * s_next) / (a**2 * values + s**2)
    return (waves[-1][0] * mean + away @ vectors.T).reshape(x.shape)


@pytest.mark.parametrize("steps", [1, 4, 25])
def test_samples_end_where_the_closed_form_says(steps: int) -> None:
    prior = oracle()
    maps, condition = maps_and_condition(prior)
    noise = noise_like(maps)
    times = trailing_times(torch.ones(2, dtype=torch.float64), steps)
    found = ddim(prior, noise, condition, times)
    wanted = chain_on_paper(prior, noise, condition, [1 - k / steps for k in range(steps)] + [0.0])
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)


def test_many_steps_draw_from_the_distribution() -> None:
    """In the limit each eigenvector's part is the noise's, as wide as the distribution."""
    prior = oracle()
    maps, condition = maps_and_condition(prior)
    noise = noise_like(maps)
    found = ddim(prior, noise, condition, trailing_times(torch.ones(2).double(), 2000))
    values, vectors = torch.linalg.eigh(prior.covariance)
    mean = prior.mean(condition, 2)
    wanted = mean + (noise.flatten(1) @ vectors * values.sqrt()) @ vectors.T
    torch.testing.assert_close(found.flatten(1), wanted, atol=5e-3, rtol=0)


def test_inversion_leads_back_to_the_noise() -> None:
    prior = oracle()
    maps, condition = maps_and_condition(prior)
    x = prior.encode(maps)
    times = trailing_times(torch.full((2,), 0.9, dtype=torch.float64), 3000)
    there = ddim(prior, x, condition, times[::-1])
    torch.testing.assert_close(ddim(prior, there, condition, times), x, atol=5e-3, rtol=0)


def test_the_deterministic_answer_is_the_mean() -> None:
    prior = oracle()
    maps, condition = maps_and_condition(prior)
    found = predict(prior, condition, maps)
    wanted = prior.decode(prior.mean(condition, 2).reshape(maps.shape)).clamp(0.0, 1.0)
    torch.testing.assert_close(found.mean, wanted, atol=1e-9, rtol=0)
    assert float(found.spread.abs().max()) == 0.0


def test_samples_have_their_mean_and_spread() -> None:
    prior = oracle()
    maps, condition = maps_and_condition(prior)
    generator = torch.Generator().manual_seed(3)
    found = predict(prior, condition, maps, mode="sample", steps=30, samples=400,
                    generator=generator)  # fmt: skip
    mean = prior.decode(prior.mean(condition, 2).reshape(maps.shape))
    inner = (mean > 0.3) & (mean < 0.7)  # others are clipped now and then
    assert int(inner.sum()) > 5
    spread = 0.5 * prior.covariance.diagonal().sqrt().reshape(maps.shape[1:]).expand_as(mean)
    assert float((found.mean - mean)[inner].abs().max()) < 4 * float(spread.max()) / 20
    assert float((found.spread / spread - 1)[inner].abs().max()) < 0.25


def test_one_seed_one_result() -> None:
    prior = oracle()
    maps, condition = maps_and_condition(prior)
    twice = [
        predict(prior, condition, maps, mode="sample", steps=3, samples=2,
                generator=torch.Generator().manual_seed(8)).mean for _ in range(2)
    ]  # fmt: skip
    assert torch.equal(*twice)


def test_what_cannot_be_predicted_is_refused() -> None:
    prior = oracle()
    maps, condition = maps_and_condition(prior)
    prior.spec = dataclasses.replace(prior.spec, zero_terminal_snr=False)
    with pytest.raises(ConfigurationError, match="use mode='sample'"):
        predict(prior, condition, maps)
    with pytest.raises(ConfigurationError, match="needs a generator"):
        predict(prior, condition, maps, mode="sample")
    with pytest.raises(ConfigurationError, match="1 step or more"):
        trailing_times(torch.ones(1), 0)
    with pytest.raises(ConfigurationError, match=r"from times in \(0, 1\]"):
        trailing_times(torch.zeros(1), 3)
