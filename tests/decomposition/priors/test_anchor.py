"""Targets free of gain, medians by weight, and views fused splat by splat."""

import pytest
import torch

from relight3d.decomposition.priors.anchor import anchor_loss, confidence, fuse
from relight3d.decomposition.priors.gauge import weighted_median

GENERATOR = torch.Generator().manual_seed(0)
ALBEDO = 0.1 + 0.6 * torch.rand((60, 3), generator=GENERATOR, dtype=torch.float64)
WEIGHT = torch.rand((60, 1), generator=GENERATOR, dtype=torch.float64)


def test_a_prediction_right_but_for_its_gain_asks_nothing() -> None:
    gain = torch.tensor([2.0, 0.5, 1.3], dtype=torch.float64)
    assert float(anchor_loss(ALBEDO, ALBEDO * gain, WEIGHT)) < 1e-12


def test_scaling_all_of_the_albedo_changes_nothing() -> None:
    predicted = ALBEDO.flip(0)
    one, other = (anchor_loss(gain * ALBEDO, predicted, WEIGHT) for gain in (1.0, 0.5))
    assert float(one) > 0.01
    torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


def test_its_gradient_with_the_gain_held() -> None:
    """Of a pixel that is not the median, finite differences leave the gain where it is."""
    predicted = ALBEDO.flip(0)
    albedo = ALBEDO.clone().requires_grad_()
    anchor_loss(albedo, predicted, WEIGHT).backward()
    assert albedo.grad is not None
    for row, channel in ((0, 0), (7, 1), (33, 2)):
        moved = torch.zeros_like(ALBEDO)
        moved[row, channel] = 1e-6
        up, down = (anchor_loss(ALBEDO + sign * moved, predicted, WEIGHT) for sign in (1, -1))
        slope = float(up - down) / 2e-6
        assert float(albedo.grad[row, channel]) == pytest.approx(slope, abs=1e-6)


def test_outliers_pull_no_harder_than_the_limit() -> None:
    wrong = ALBEDO.clone()
    wrong[0] = 1e-9
    albedo = ALBEDO.clone().requires_grad_()
    anchor_loss(albedo, wrong, torch.ones_like(WEIGHT)).backward()
    assert albedo.grad is not None
    pull = (albedo.grad[0] * ALBEDO[0]).abs() * 60 * 3
    torch.testing.assert_close(pull, torch.full_like(pull, 0.2), atol=1e-9, rtol=0)


def test_nothing_weighs_nothing() -> None:
    albedo = ALBEDO.clone().requires_grad_()
    anchor_loss(albedo, ALBEDO.flip(0), 0 * WEIGHT).backward()
    assert albedo.grad is not None
    assert float(albedo.grad.abs().max()) == 0.0


def test_confidence_falls_with_spread() -> None:
    spread = torch.tensor([0.0, 0.1])
    torch.testing.assert_close(confidence(spread), torch.tensor([1.0, 0.36788]), atol=1e-5, rtol=0)


def test_views_are_fused_splat_by_splat() -> None:
    """Against the median of each splat's own rows."""
    owners = torch.randint(0, 7, (200,), generator=GENERATOR)
    owners[owners == 5] = 4  # nobody speaks of splat 5
    values = torch.rand((200, 4), generator=GENERATOR)
    weights = torch.rand((200,), generator=GENERATOR)
    found, total = fuse(values, weights, owners, 7)
    for splat in range(7):
        rows = owners == splat
        if splat == 5:
            assert float(found[5].abs().max()) == 0.0
            assert float(total[5]) == 0.0
            continue
        wanted = weighted_median(values[rows], weights[rows][:, None].expand(-1, 4).contiguous())
        torch.testing.assert_close(found[splat], wanted)
        assert float(total[splat]) == pytest.approx(float(weights[rows].sum()), rel=1e-5)


def test_rows_without_weight_are_not_asked() -> None:
    found, total = fuse(
        torch.tensor([[9.0], [1.0]]), torch.tensor([0.0, 0.0]), torch.tensor([0, 1]), 2
    )
    assert found.tolist() == [[0.0], [0.0]]
    assert total.tolist() == [0.0, 0.0]
