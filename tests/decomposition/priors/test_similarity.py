"""The kernel evens out what is predicted to be one material, and nothing else."""

import pytest
import torch

from relight3d.decomposition.priors.similarity import log_albedo, similarity_loss

GENERATOR_SEED = 3


def loss(
    rendered: torch.Tensor,
    predicted: torch.Tensor,
    weight: torch.Tensor | None = None,
    anchors: int = 1000,
) -> torch.Tensor:
    weight = torch.ones(len(rendered), 1, dtype=rendered.dtype) if weight is None else weight
    return similarity_loss(
        rendered, predicted, weight, sigma=0.05, anchors=anchors,
        generator=torch.Generator().manual_seed(GENERATOR_SEED),
    )  # fmt: skip


def values(count: int, channels: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, channels), generator=generator, dtype=torch.float64)


def test_it_is_the_joint_bilateral_filter() -> None:
    """Against the sum over all pairs."""
    rendered, predicted, weight = values(40, 3, 0), 0.2 * values(40, 5, 1), values(40, 1, 2)
    kernel = torch.exp(-(predicted[:, None] - predicted[None]).square().sum(-1) / (2 * 0.05**2))
    kernel = kernel * weight[None, :, 0]
    filtered = torch.stack([
        torch.stack([(kernel[p] * rendered[:, c]).sum() / kernel[p].sum() for c in range(3)])
        for p in range(40)
    ])  # fmt: skip
    wanted = ((rendered - filtered).abs() * weight).sum() / (3 * weight.sum())
    torch.testing.assert_close(loss(rendered, predicted, weight), wanted, atol=1e-9, rtol=0)


def test_its_gradient() -> None:
    rendered, predicted = values(12, 2, 0), 0.1 * values(12, 4, 1)
    assert torch.autograd.gradcheck(lambda r: loss(r, predicted), (rendered.requires_grad_(),))


def test_two_materials_keep_their_difference() -> None:
    predicted = torch.zeros(100, 5)
    predicted[50:] = 0.8
    two = torch.full((100, 3), 0.2)
    two[50:] = 0.7
    assert float(loss(two, predicted)) < 1e-6
    noisy = two + 0.1 * torch.randn((100, 3), generator=torch.Generator().manual_seed(0))
    rendered = noisy.clone().requires_grad_()
    optimizer = torch.optim.SGD([rendered], 1.0)
    for _ in range(200):
        optimizer.zero_grad()
        loss(rendered, predicted, anchors=32).backward()
        optimizer.step()
    even = rendered.detach()
    assert float(even[:50].std(0).max()) < 0.5 * float(noisy[:50].std(0).max())
    assert float((even[:50].mean(0) - noisy[:50].mean(0)).abs().max()) < 0.05
    assert float((even[50:].mean(0) - even[:50].mean(0)).min()) > 0.4


def test_turning_dark_is_no_way_out() -> None:
    """Along a common gain the loss of plain albedo falls with it; that of logarithms stays."""
    predicted, albedo = 0.1 * values(50, 5, 1), 0.2 + 0.6 * values(50, 3, 0)
    weight = torch.ones(50, 1, dtype=torch.float64)

    def slope(logarithm: bool) -> float:
        gain = torch.zeros((), dtype=torch.float64, requires_grad=True)
        moved = albedo * gain.exp()
        rendered, scale = log_albedo(moved) if logarithm else (moved, None)
        value = similarity_loss(
            rendered, predicted, weight, scale, sigma=0.05, anchors=20,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        value.backward()
        assert gain.grad is not None
        return float(gain.grad) / float(value.detach())

    assert slope(logarithm=False) == pytest.approx(1.0)
    assert slope(logarithm=True) == pytest.approx(0.0, abs=1e-9)


def test_a_difference_of_log_albedo_counts_as_one_of_albedo() -> None:
    albedo = torch.tensor([[0.5, 0.5, 0.5], [0.51, 0.49, 0.5]], dtype=torch.float64)
    rendered, scale = log_albedo(albedo)
    flat, even = torch.zeros((2, 5), dtype=torch.float64), torch.ones((2, 1), dtype=torch.float64)
    generator = [torch.Generator().manual_seed(0) for _ in range(2)]
    found = similarity_loss(
        rendered, flat, even, scale, sigma=0.05, anchors=2, generator=generator[0]
    )
    plain = similarity_loss(albedo, flat, even, sigma=0.05, anchors=2, generator=generator[1])
    assert float(found) == pytest.approx(float(plain), rel=0.02)


def test_black_albedo_stays_finite() -> None:
    dark = torch.zeros((1, 3), requires_grad=True)
    value, scale = log_albedo(dark)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert float(scale.min()) > 0
    assert dark.grad is not None
    assert torch.isfinite(dark.grad).all()


@pytest.mark.parametrize("count", [0, 5])
def test_without_weight_nothing_is_asked(count: int) -> None:
    rendered = torch.rand(count, 3, requires_grad=True)
    found = loss(rendered, torch.rand(count, 5), torch.zeros(count, 1))
    assert float(found.detach()) == 0.0
    found.backward()


def test_pixels_unlike_every_anchor_are_left_alone() -> None:
    predicted = torch.zeros(20, 5)
    predicted[0] = 1.0
    rendered = torch.rand(20, 3, requires_grad=True)
    chosen = torch.randperm(20, generator=torch.Generator().manual_seed(GENERATOR_SEED))[:4]
    assert 0 not in chosen
    loss(rendered, predicted, anchors=4).backward()
    assert rendered.grad is not None
    assert float(rendered.grad[0].abs().max()) == 0.0
