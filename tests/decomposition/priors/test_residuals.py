"""Every variant against its paper's difference of noises, worked out in closed form."""

import pytest
import torch

from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.priors.interface import Denoised, cosine_marginals
from relight3d.decomposition.priors.residuals import Helpers, Question, Recipe, residual
from tests.decomposition.priors.oracle import clean_on_paper, maps_and_condition, noise_like, oracle

PRIOR = oracle()
MAPS, CONDITION = maps_and_condition(PRIOR)
X = PRIOR.encode(MAPS)
NOISE = noise_like(X)


def asked(t: float) -> Question:
    return Question(X, torch.full((2,), t, dtype=torch.float64), NOISE, CONDITION)


def waves(t: float) -> tuple[torch.Tensor, torch.Tensor]:
    a, s = cosine_marginals(torch.tensor([t], dtype=torch.float64))
    return a, s


def noise_on_paper(x_t: torch.Tensor, t: float, condition: torch.Tensor | None) -> torch.Tensor:
    a, s = waves(t)
    return (x_t - a * clean_on_paper(PRIOR, x_t, t, condition)) / s


def noisy(t: float) -> torch.Tensor:
    a, s = waves(t)
    return a * X + s * NOISE


def assert_is(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert float(wanted.abs().max()) > 1e-3  # else zeros would pass


@pytest.mark.parametrize("t", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_sds_is_the_difference_to_the_noise_put_in(t: float, guidance: float) -> None:
    a, s = waves(t)
    null, told = (noise_on_paper(noisy(t), t, c) for c in (None, CONDITION))
    wanted = (s / a) * (null + guidance * (told - null) - NOISE)
    assert_is(residual(PRIOR, asked(t), Recipe("sds", guidance), Helpers()), wanted)


def test_sds_is_finite_where_no_signal_is_left() -> None:
    found = residual(PRIOR, asked(1.0), Recipe("sds"), Helpers())
    assert_is(found, X - PRIOR.mean(CONDITION, 2).reshape(X.shape))


@pytest.mark.parametrize("t", [0.1, 0.6])
def test_csd_is_what_the_condition_adds(t: float) -> None:
    a, s = waves(t)
    null, told = (noise_on_paper(noisy(t), t, c) for c in (None, CONDITION))
    wanted = (s / a) * 2.0 * (told - null)
    assert_is(residual(PRIOR, asked(t), Recipe("csd", 2.0), Helpers()), wanted)


def test_ssd_leaves_the_noise_alone() -> None:
    a, s = waves(0.2)
    null, told = (noise_on_paper(noisy(0.2), 0.2, c) for c in (None, CONDITION))
    wanted = []
    for i in range(2):
        h, e = (told - null)[i], NOISE[i]
        rest = told[i] - (told[i] * e).sum() / (e * e).sum() * e
        wanted.append((s / a)[0] * h.norm() / rest.norm() * rest)
    found = residual(PRIOR, asked(0.2), Recipe("ssd", early=0.25), Helpers())
    assert_is(found, torch.stack(wanted))
    along = (found * NOISE).flatten(1).sum(1)
    assert float(along.abs().max()) < 1e-9


def test_ssd_late_is_csd() -> None:
    found = residual(PRIOR, asked(0.6), Recipe("ssd", early=0.25), Helpers())
    assert_is(found, residual(PRIOR, asked(0.6), Recipe("csd"), Helpers()))


def test_ism_compares_two_times_of_the_inversion() -> None:
    early, late = 0.3, 0.38
    x = X
    for now, then in ((0.0, 0.15), (0.15, 0.3)):  # steps no longer than 0.2
        clean = clean_on_paper(PRIOR, x, now, None)
        # clean maps hold no noise: at 0 there is nothing to tell it from
        noise = noise_on_paper(x, now, None) if now else torch.zeros_like(x)
        x = waves(then)[0] * clean + waves(then)[1] * noise
    clean, noise = clean_on_paper(PRIOR, x, early, None), noise_on_paper(x, early, None)
    a, s = waves(late)
    x_t = a * clean + s * noise
    wanted = (s / a) * (noise_on_paper(x_t, late, CONDITION) - noise)
    found = residual(PRIOR, asked(late), Recipe("ism", interval=0.08), Helpers())
    assert_is(found, wanted)


def test_multistep_is_against_the_end_of_the_chain() -> None:
    t, x = 0.8, noisy(0.8)
    for now, then in ((0.8, 0.4), (0.4, 0.0)):
        clean, noise = clean_on_paper(PRIOR, x, now, CONDITION), noise_on_paper(x, now, CONDITION)
        x = waves(then)[0] * clean + waves(then)[1] * noise
    assert_is(residual(PRIOR, asked(t), Recipe("multistep", steps=2), Helpers()), X - x)


def test_vsd_is_against_the_student() -> None:
    """And a student that knows what is rendered to the last digit makes SDS of it."""

    def exact(x_t: torch.Tensor, t: torch.Tensor, condition: object) -> Denoised:
        return Denoised(X, NOISE)

    found = residual(PRIOR, asked(0.5), Recipe("vsd"), Helpers(student=exact))
    assert_is(found, residual(PRIOR, asked(0.5), Recipe("sds"), Helpers()))
    other = oracle(seed=9)
    told = residual(PRIOR, asked(0.5), Recipe("vsd"), Helpers(student=other.denoise))
    clean = clean_on_paper(PRIOR, noisy(0.5), 0.5, CONDITION)
    assert_is(told, clean_on_paper(other, noisy(0.5), 0.5, CONDITION) - clean)


def test_vdm_is_against_what_rendering_does() -> None:
    clean = clean_on_paper(PRIOR, noisy(0.5), 0.5, CONDITION)
    found = residual(PRIOR, asked(0.5), Recipe("vdm"), Helpers(degrade=lambda x: 0.8 * x + 0.1))
    assert_is(found, 0.1 - 0.2 * clean)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigurationError, match="none was given"):
        residual(PRIOR, asked(0.5), Recipe("vsd"), Helpers())
    with pytest.raises(ConfigurationError, match="none was given"):
        residual(PRIOR, asked(0.5), Recipe("vdm"), Helpers())
    with pytest.raises(ConfigurationError, match="one time below 1"):
        residual(PRIOR, asked(1.0), Recipe("ism"), Helpers())
    with pytest.raises(ConfigurationError, match="steps >= 1"):
        Recipe(steps=0)
