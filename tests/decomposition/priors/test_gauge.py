"""The gain between two albedos: measured despite shadows, taken out, and undefined nowhere."""

import torch

from relight3d.core.color import linear_from_srgb, srgb_from_linear
from relight3d.decomposition.priors.gauge import gain_between, weighted_median, without_gain

ALBEDO = 0.1 + 0.2 * torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
WHOLE = torch.ones(2, 1, 16, 16)
GAIN = torch.tensor([2.0, 1.5, 0.5])


def test_the_gain_is_found_beside_a_shadow() -> None:
    predicted = ALBEDO * GAIN[:, None, None]
    predicted[:, :, :6] *= 0.3  # a shadow that the prediction holds, on 3 of 8 of the pixels
    torch.testing.assert_close(gain_between(ALBEDO, predicted, WHOLE), GAIN, atol=1e-5, rtol=0)


def test_weights_count() -> None:
    predicted = ALBEDO * GAIN[:, None, None]
    predicted[:, :, :10] *= 0.3
    weight = WHOLE.clone()
    weight[:, :, :10] = 0.1
    torch.testing.assert_close(gain_between(ALBEDO, predicted, weight), GAIN, atol=1e-5, rtol=0)


def test_without_surface_or_light_nothing_is_scaled() -> None:
    assert torch.equal(gain_between(ALBEDO, ALBEDO, 0 * WHOLE), torch.ones(3))
    black = torch.zeros_like(ALBEDO)
    assert torch.equal(gain_between(black, black, WHOLE), torch.ones(3))


def test_what_is_wanted_becomes_as_bright_as_what_there_is() -> None:
    bright = srgb_from_linear(ALBEDO * GAIN[:, None, None])
    found = linear_from_srgb(without_gain(bright, GAIN))
    torch.testing.assert_close(found, ALBEDO, atol=1e-5, rtol=0)


def test_the_weighted_median_by_hand() -> None:
    values = torch.tensor([[3.0], [1.0], [2.0]])
    for weights, wanted in (([1.0, 1.0, 1.0], 2.0), ([5.0, 1.0, 1.0], 3.0), ([0.0, 1.0, 0.2], 1.0)):
        assert float(weighted_median(values, torch.tensor(weights)[:, None])) == wanted
