import pytest
import torch

from relight3d.core import sh
from relight3d.core.types import VisibilityProbes
from relight3d.shading.probes import bake_probes, lookup_probes, probe_positions
from tests.shading.discs import ball, join, raycast, square


def test_lookup_is_trilinear_in_the_right_axes():
    lower, upper = torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([1.0, 2.0, 3.0])
    where = probe_positions(lower, upper, (5, 4, 3))
    assert where.shape == (5, 4, 3, 3)
    assert where[0, 0, 0].tolist() == [-1.0, -2.0, -3.0] and where[-1, -1, -1].tolist() == [1, 2, 3]
    probes = VisibilityProbes(lower, upper, where @ torch.tensor([[1.0], [10.0], [100.0]]))
    points = torch.tensor([[0.3, -1.1, 2.0], [-0.9, 1.9, -2.9], [5.0, 0.0, 0.0]])
    found = lookup_probes(probes, points)[:, 0]
    expected = [0.3 - 11.0 + 200.0, -0.9 + 19.0 - 290.0, 1.0]  # outside: the border
    assert found.tolist() == pytest.approx(expected, abs=1e-3)


def test_probe_under_a_plate_sees_no_sky():
    gaussians = join(square(2.0, 0.5, 16), ball(100, (0.0, 0.0, -3.0)))
    probes = bake_probes(
        gaussians, rasterize=raycast, resolution=5, directions=24, resolution_px=32
    )
    up, down = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    under, over = lookup_probes(probes, torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    sky_under, sky_over = sh.basis(up, 2) @ under, sh.basis(up, 2) @ over
    assert sky_under.item() < 0.4
    assert sky_over.item() > 0.6
    assert (sh.basis(down, 2) @ under).item() < 0.6  # the ball below
