from math import pi
from typing import Any

import pytest
import torch

from relight3d.core.errors import ConfigurationError
from relight3d.shading import latlong
from relight3d.shading.directions import (
    direction_cells,
    importance_directions,
    integrate_over_cells,
    spherical_fibonacci,
)

DOUBLE: dict[str, Any] = {"dtype": torch.float64}


def energy(environment: torch.Tensor) -> torch.Tensor:
    areas = latlong.solid_angles(
        environment.shape[0], environment.shape[1], dtype=environment.dtype
    )
    return (environment * areas[..., None]).sum((0, 1))


def sunny(height: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    sky = torch.rand(height, 2 * height, 3, generator=generator, **DOUBLE)
    sky[height // 4, height // 3] = torch.tensor([9e4, 8e4, 6e4], **DOUBLE)
    return sky


@pytest.mark.parametrize("count", [1, 64, 257])
def test_fibonacci_is_even(count):
    directions = spherical_fibonacci(count, dtype=torch.float64)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(count, **DOUBLE))
    if count > 1:
        assert directions.mean(0).norm() < 2.0 / count
        nearest = (directions @ directions.t() - 2.0 * torch.eye(count)).amax(0).clamp(-1, 1).acos()
        assert nearest.min() > 0.6 * nearest.max()  # no clumps, no holes


def test_cells_of_an_even_set_are_of_one_size():
    cells = direction_cells(spherical_fibonacci(64), 64)
    assert cells.solid_angle.sum().item() == pytest.approx(4.0 * pi, rel=1e-5)
    assert (cells.solid_angle / (4.0 * pi / 64) - 1.0).abs().max() < 0.15


@pytest.mark.parametrize("count", [7, 256, 4000])
def test_cells_keep_the_energy_exactly(count):
    """Even when directions outnumber texels, so that some cells are empty."""
    sky = sunny()
    radiance, solid_angle = integrate_over_cells(sky, spherical_fibonacci(count, dtype=sky.dtype))
    assert bool(radiance.isfinite().all())
    torch.testing.assert_close((radiance * solid_angle[:, None]).sum(0), energy(sky))


def test_cell_of_the_sun_faces_the_sun():
    sky = sunny()
    directions = spherical_fibonacci(128, dtype=sky.dtype)
    radiance, _ = integrate_over_cells(sky, directions)
    toward = latlong.texel_directions(32, 64, **DOUBLE)[8, 10]
    assert radiance[:, 0].argmax() == (directions @ toward).argmax()


def test_cells_of_a_turned_light():
    cells = direction_cells(spherical_fibonacci(32, dtype=torch.float64), 16)
    sky = sunny(16)
    expected = cells.integrate(latlong.rotate(sky, 1.3))
    torch.testing.assert_close(cells.integrate(sky, 1.3), expected)
    assert (expected - cells.integrate(sky)).abs().max() > 1.0


def test_gradient_of_the_cells_is_their_share():
    sky = torch.rand(8, 16, 3, **DOUBLE).requires_grad_()
    cells = direction_cells(spherical_fibonacci(16, dtype=torch.float64), 8)
    (cells.integrate(sky) * cells.solid_angle[:, None]).sum().backward()
    assert sky.grad is not None
    torch.testing.assert_close(sky.grad[..., 0], latlong.solid_angles(8, 16, **DOUBLE))


@pytest.mark.parametrize("count", [1, 16, 200])
def test_importance_directions_keep_energy_and_cover_the_sphere(count):
    sky = sunny()
    light = importance_directions(sky, count)
    assert light.directions.shape == (count, 3)
    torch.testing.assert_close(light.directions.norm(dim=-1), torch.ones(count, **DOUBLE))
    assert light.solid_angle.sum().item() == pytest.approx(4.0 * pi)
    torch.testing.assert_close((light.radiance * light.solid_angle[:, None]).sum(0), energy(sky))


def test_sun_takes_few_small_samples():
    light = importance_directions(sunny(), 64)
    share = light.radiance[:, 0] * light.solid_angle
    sun = share.argmax()
    toward = latlong.texel_directions(32, 64, **DOUBLE)[8, 10]
    assert share[sun] > 0.9 * share.sum()
    assert light.directions[sun] @ toward > 0.999
    assert light.solid_angle[sun] < 0.1
    assert ((light.directions @ toward) > 0.95).sum() < 32


def test_dark_and_tiny_maps():
    assert bool(importance_directions(torch.zeros(8, 16, 3), 12).directions.isfinite().all())
    assert len(importance_directions(torch.rand(2, 4, 3), 50).directions) == 8


def test_empty_sets_are_refused():
    with pytest.raises(ConfigurationError, match="at least 1"):
        spherical_fibonacci(0)
    with pytest.raises(ConfigurationError, match="at least 1"):
        importance_directions(torch.rand(2, 4, 3), 0)
