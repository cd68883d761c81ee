"""Specs refuse contradictions; v, noise and clean maps say the same; guidance is linear."""

import dataclasses

import pytest
import torch

from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.priors.interface import (
    cosine_marginals,
    denoised_from,
    guided,
    noised,
)
from relight3d.decomposition.priors.spec import MapSpec
from tests.decomposition.priors.oracle import SPEC, maps_and_condition, noise_like, oracle


def test_channels_lie_in_the_order_of_the_declaration() -> None:
    assert SPEC.channels == 5
    assert SPEC.slice_of("roughness") == slice(3, 4)
    with pytest.raises(ConfigurationError, match="not 'normal'"):
        SPEC.slice_of("normal")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": ()}, "each of its maps once"),
        ({"maps": (SPEC.maps[0], SPEC.maps[0])}, "each of its maps once"),
        ({"predicts": "eps"}, "nothing but noise"),
        ({"steps": 0}, "must be positive"),
    ],
)
def test_contradictions_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        dataclasses.replace(SPEC, **change)


def test_maps_have_their_channels() -> None:
    with pytest.raises(ConfigurationError, match="has 3 channels, the prior declares 1"):
        MapSpec("albedo", 1, "srgb")
    with pytest.raises(ConfigurationError, match="1 to 64"):
        MapSpec("photo", 0, "srgb")


def test_nothing_but_noise_is_left_at_the_end_of_time() -> None:
    a, s = cosine_marginals(torch.tensor([0.0, 0.3, 1.0]))
    assert a[2].item() == 0.0
    assert s[2].item() == 1.0
    assert torch.allclose(a**2 + s**2, torch.ones_like(a))


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_all_targets_say_the_same(t: float) -> None:
    x0, eps = noise_like(torch.zeros(2, 5, 2, 2).double(), 3), noise_like(torch.zeros(2, 5, 2, 2))
    a, s = cosine_marginals(torch.full((2,), t, dtype=torch.float64))
    x_t = a * x0 + s * eps
    for target, output in (("v", a * eps - s * x0), ("eps", eps.double()), ("x0", x0)):
        found = denoised_from(output.double(), target, x_t, a, s)  # pyright: ignore[reportArgumentType]
        torch.testing.assert_close(found.x0, x0, atol=1e-9, rtol=0)
        torch.testing.assert_close(found.eps, eps.double(), atol=1e-9, rtol=0)


def test_velocity_is_safe_where_no_signal_is_left() -> None:
    x_t = torch.randn(1, 5, 2, 2)
    a, s = cosine_marginals(torch.ones(1))
    found = denoised_from(-torch.full_like(x_t, 0.25), "v", x_t, a, s)
    assert torch.equal(found.x0, torch.full_like(x_t, 0.25))


def test_what_cannot_be_said_is_refused() -> None:
    x_t = torch.randn(1, 5, 2, 2)
    a, s = cosine_marginals(torch.ones(1))
    with pytest.raises(ConfigurationError, match="not finite"):
        denoised_from(torch.full_like(x_t, torch.nan), "v", x_t, a, s)
    with pytest.raises(ConfigurationError, match="ask at t < 1"):
        denoised_from(x_t, "eps", x_t, a, s)


def test_guidance_goes_from_the_unconditional_answer_through_the_conditional() -> None:
    prior = oracle()
    maps, condition = maps_and_condition(prior)
    x = prior.encode(maps)
    t = torch.full((2,), 0.6, dtype=torch.float64)
    x_t = noised(prior, x, noise_like(x), t)
    null, told = (guided(prior, x_t, t, c, 1.0).x0 for c in (None, condition))
    torch.testing.assert_close(
        guided(prior, x_t, t, condition, 3.0).x0, null + 3.0 * (told - null), atol=1e-12, rtol=0
    )
