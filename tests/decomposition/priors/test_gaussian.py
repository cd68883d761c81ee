"""The oracle against other ways to its answers."""

import pytest
import torch

from relight3d.decomposition.priors.interface import noised
from tests.decomposition.priors.oracle import clean_on_paper, maps_and_condition, noise_like, oracle


@pytest.mark.parametrize("t", [0.05, 0.4, 0.95, 1.0])
@pytest.mark.parametrize("told", [True, False])
def test_denoising_agrees_with_eigenvectors(t: float, told: bool) -> None:
    prior = oracle()
    maps, condition = maps_and_condition(prior)
    given = condition if told else None
    x = prior.encode(maps)
    times = torch.full((2,), t, dtype=torch.float64)
    x_t = noised(prior, x, noise_like(x), times)
    found = prior.denoise(x_t, times, given)
    torch.testing.assert_close(found.x0, clean_on_paper(prior, x_t, t, given), atol=1e-9, rtol=0)
    a, s = prior.marginals(times)
    torch.testing.assert_close(a * found.x0 + s * found.eps, x_t, atol=1e-9, rtol=0)


def test_denoising_is_the_mean_of_what_could_have_been() -> None:
    """By importance sampling: clean maps from the prior, weighted by how well they explain x_t."""
    prior = oracle()
    _, condition = maps_and_condition(prior, batch=1)
    mean = prior.mean(condition, 1)
    root = torch.linalg.cholesky(prior.covariance)
    generator = torch.Generator().manual_seed(5)
    drawn = mean + torch.randn((200_000, 20), generator=generator, dtype=torch.float64) @ root.T
    t = torch.full((1,), 0.8, dtype=torch.float64)
    a, s = (part.flatten() for part in prior.marginals(t))
    x_t = (a * mean + 0.9 * s).reshape(1, 5, 2, 2)
    away = ((x_t.flatten(1) - a * drawn) / s).square().sum(1)
    weights = torch.softmax(-0.5 * away, 0)
    expected = (weights[:, None] * drawn).sum(0)
    found = prior.denoise(x_t, t, condition).x0.flatten()
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
