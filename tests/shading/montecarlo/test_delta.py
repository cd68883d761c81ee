import pytest
import torch

from relight3d.core.types import DirectionalLight, PointLight
from relight3d.shading.montecarlo.delta import MIN_DISTANCE, delta_light


def test_point_light_by_hand():
    light = PointLight((0.0, 0.0, 2.0), (8.0, 4.0, 2.0))
    found = delta_light(torch.tensor([[0.0, 0.0, 0.0], [0.0, 3.0, -2.0]]), light)
    torch.testing.assert_close(found.direction, torch.tensor([[0.0, 0.0, 1.0], [0.0, -0.6, 0.8]]))
    assert found.distance.tolist() == pytest.approx([2.0, 5.0])
    torch.testing.assert_close(
        found.irradiance, torch.tensor([[2.0, 1.0, 0.5], [0.32, 0.16, 0.08]])
    )


def test_directional_light_by_hand():
    found = delta_light(torch.zeros(2, 3), DirectionalLight((0.0, 3.0, 4.0), (1.0, 2.0, 3.0)))
    torch.testing.assert_close(found.direction, torch.tensor([[0.0, 0.6, 0.8]] * 2))
    assert found.distance.tolist() == [torch.inf] * 2
    assert found.irradiance.tolist() == [[1.0, 2.0, 3.0]] * 2


def test_a_light_on_the_surface_is_bright_but_finite():
    points = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0 + MIN_DISTANCE / 2]]).requires_grad_()
    found = delta_light(points, PointLight((1.0, 2.0, 3.0), (1.0, 1.0, 1.0)))
    assert found.irradiance.max().item() == pytest.approx(MIN_DISTANCE**-2)
    (found.irradiance.sum() + found.direction.sum() + found.distance.sum()).backward()
    assert points.grad is not None and bool(points.grad.isfinite().all())
