from math import pi
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from relight3d.shading.bounce import add_bounce, openness, surroundings_radiance
from relight3d.shading.directions import spherical_fibonacci

DOUBLE: dict[str, Any] = {"dtype": torch.float64}


def test_openness_of_open_closed_and_half_open():
    directions = spherical_fibonacci(256, **DOUBLE)
    weights = torch.full((256,), 4.0 * pi / 256, **DOUBLE)
    up = torch.tensor([[0.0, 0.0, 1.0]], **DOUBLE).expand(3, 3)
    half = (directions[:, 0] > 0.0).to(torch.float64)
    seen = torch.stack([torch.ones_like(half), torch.zeros_like(half), half])
    found = openness(seen, up, directions, weights)[:, 0]
    assert found[0].item() == 1.0 and found[1].item() == 0.0
    assert found[2].item() == pytest.approx(0.5, abs=0.02)


def test_closed_room_gathers_a_geometric_series():
    """Nothing open, albedo a, direct E everywhere: B = a E / pi (1 + a + a^2 + ...)."""
    albedo, direct = torch.full((5, 3), 0.5, **DOUBLE), torch.full((5, 3), 2.0, **DOUBLE)
    closed = torch.zeros(5, 1, **DOUBLE)
    found = surroundings_radiance(albedo, direct, closed)
    torch.testing.assert_close(found, torch.full((3,), 2.0 / pi, **DOUBLE))
    total = add_bounce(direct, closed, found)  # each surface's own radiance is B again
    torch.testing.assert_close(total * albedo / pi, found.expand(5, 3))


def test_open_surfaces_gain_nothing():
    direct, open_ = torch.rand(4, 3, **DOUBLE), torch.ones(4, 1, **DOUBLE)
    found = surroundings_radiance(torch.rand(4, 3, **DOUBLE), direct, open_)
    torch.testing.assert_close(add_bounce(direct, open_, found), direct)


def test_weights_choose_who_counts():
    albedo = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], **DOUBLE)
    direct, open_ = torch.full((2, 3), pi, **DOUBLE), torch.ones(2, 1, **DOUBLE)
    weight = torch.tensor([[3.0], [1.0]], **DOUBLE)
    found = surroundings_radiance(albedo, direct, open_, weight)
    torch.testing.assert_close(found, torch.tensor([0.75, 0.25, 0.0], **DOUBLE))


def test_white_closed_room_stays_finite():
    found = surroundings_radiance(torch.ones(2, 3), torch.ones(2, 3), torch.zeros(2, 1))
    assert bool(found.isfinite().all())


def test_gradients():
    inputs = [torch.rand(4, size, **DOUBLE) * 0.8 + 0.1 for size in (3, 3, 1)]
    assert gradcheck(surroundings_radiance, [part.requires_grad_() for part in inputs])
