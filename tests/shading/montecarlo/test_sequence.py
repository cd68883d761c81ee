import pytest
import torch
from sampling import mean_and_error

from relight3d.core.errors import ConfigurationError
from relight3d.shading.montecarlo.sequence import rotated_points


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bumpy(points: torch.Tensor) -> torch.Tensor:
    """Smooth, with integral 1/3 + 1/4 over the unit square."""
    return points[..., 0].square() + points[..., 0] * points[..., 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_fill_the_half_open_cube_in_planes(dtype):
    points = rotated_points(3000, 8, seeded(), 3, dtype=dtype)
    assert points.shape == (3000, 8, 3) and points.dtype == dtype
    assert float(points.min()) >= 0.0 and float(points.max()) < 1.0
    assert points.permute(2, 1, 0).is_contiguous()
    assert points.mean((0, 1)).tolist() == pytest.approx([0.5] * 3, abs=0.02)


def test_the_same_seed_gives_the_same_points():
    first, again, other = (rotated_points(5, 4, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first[:, 0, 0].unique()) == 5  # every pixel has its own


@pytest.mark.parametrize("samples", [1, 3, 16])
def test_estimates_are_unbiased_for_any_count(samples):
    points = rotated_points(20000, samples, seeded(3), dtype=torch.float64)
    mean, error = mean_and_error(bumpy(points).mean(1))
    assert abs(float(mean) - (1 / 3 + 1 / 4)) < 3.5 * float(error)


def test_errors_are_well_below_those_of_independent_points():
    even = bumpy(rotated_points(2000, 64, seeded())).mean(1)
    alone = bumpy(torch.rand(2000, 64, 2, generator=seeded())).mean(1)
    assert float(even.std()) < 0.25 * float(alone.std())


def test_no_samples_are_refused():
    with pytest.raises(ConfigurationError, match="at least 1 sample, got 0"):
        rotated_points(5, 0, seeded())
