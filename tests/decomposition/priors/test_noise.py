"""Noise is normal, paired where asked, and attached to places where asked."""

import torch

from relight3d.decomposition.priors.noise import aged, antithetic, on_surface


def assert_normal(values: torch.Tensor) -> None:
    """Mean, spread, skewness and tails within 4 standard errors."""
    count = values.numel()
    assert abs(float(values.mean())) < 4 / count**0.5
    assert abs(float(values.square().mean()) - 1) < 4 * (2 / count) ** 0.5
    assert abs(float(values.pow(3).mean())) < 4 * (15 / count) ** 0.5
    assert abs(float(values.pow(4).mean()) - 3) < 4 * (96 / count) ** 0.5


def places(shift: float = 0.0) -> torch.Tensor:
    """A plane that two views see, [1, 128, 128, 3], in double: the cubes are of edge 1."""
    steps = torch.arange(128, dtype=torch.float64) + 0.5 + shift
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
    return torch.cat([grid, torch.full_like(grid[..., :1], -3.2)], -1)[None]


def test_pairs_cancel() -> None:
    drawn = antithetic((4, 3, 8, 8), torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:2], -drawn[2:])
    assert antithetic((3, 1, 2, 2), torch.Generator().manual_seed(0)).shape[0] == 3
    assert_normal(antithetic((2, 4, 64, 64), torch.Generator().manual_seed(1))[:1])


def test_the_surface_holds_normal_noise() -> None:
    drawn = on_surface(places(), 1.0, 4, seed=0)
    assert_normal(drawn)
    for channel in range(4):
        assert_normal(drawn[:, channel])


def test_neighbours_and_channels_are_independent() -> None:
    drawn = on_surface(places(), 1.0, 2, seed=0)[0]
    count = drawn[0].numel()
    across = (drawn[0, :, 1:] * drawn[0, :, :-1]).mean()
    down = (drawn[0, 1:] * drawn[0, :-1]).mean()
    between = (drawn[0] * drawn[1]).mean()
    for product in (across, down, between):
        assert abs(float(product)) < 4 / count**0.5


def test_views_agree_where_they_see_the_same() -> None:
    one, other = on_surface(places(), 1.0, 3, 0), on_surface(places(5.0), 1.0, 3, 0)
    assert torch.equal(one[:, :, 5:, 5:], other[:, :, :-5, :-5])
    within = on_surface(places(0.3), 1.0, 3, 0)
    assert torch.equal(one, within)


def test_another_seed_is_another_noise() -> None:
    one, other = (on_surface(places(), 1.0, 1, seed) for seed in (0, 1))
    assert abs(float((one * other).mean())) < 4 / one.numel() ** 0.5


def test_noise_ages_and_stays_normal() -> None:
    start = on_surface(places(), 1.0, 1, 0)
    later = aged(start, 0.1, torch.Generator().manual_seed(2))
    assert_normal(later)
    kept = float((start * later).mean())
    assert abs(kept - 0.9**0.5) < 0.05
