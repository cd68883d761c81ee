from math import pi
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from relight3d.shading import latlong

DOUBLE: dict[str, Any] = {"dtype": torch.float64}


@pytest.mark.parametrize(
    ("direction", "u", "v"),
    [
        ((1.0, 0.0, 0.0), 0.0, 0.5),
        ((0.0, 1.0, 0.0), 0.75, 0.5),
        ((-1.0, 0.0, 0.0), 0.5, 0.5),
        ((0.0, -1.0, 0.0), 0.25, 0.5),
        ((1.0, -1.0, 2.0**0.5), 0.125, 0.25),
        ((0.0, 0.0, 1.0), None, 0.0),
        ((0.0, 0.0, -3.0), None, 1.0),
    ],
)
def test_known_directions(direction, u, v):
    found = latlong.uv_from_directions(torch.tensor(direction, **DOUBLE))
    assert found[1].item() == pytest.approx(v, abs=1e-6)
    assert 0.0 <= found[0].item() < 1.0
    if u is not None:
        assert found[0].item() == pytest.approx(u, abs=1e-6)


def test_texels_round_trip():
    directions = latlong.texel_directions(8, 16, **DOUBLE)
    uv = latlong.uv_from_directions(directions)
    torch.testing.assert_close(uv[3, 5], torch.tensor([5.5 / 16, 3.5 / 8], **DOUBLE))
    torch.testing.assert_close(latlong.directions_from_uv(uv), directions)


def test_solid_angles_cover_the_sphere():
    assert latlong.solid_angles(16, 32, **DOUBLE).sum().item() == pytest.approx(4.0 * pi)


def test_lookup_at_centres_is_exact_and_wraps():
    environment = torch.rand(8, 16, 3, **DOUBLE)
    directions = latlong.texel_directions(8, 16, **DOUBLE)
    torch.testing.assert_close(latlong.lookup(environment, directions), environment)
    seam = latlong.directions_from_uv(torch.tensor([0.0, 3.5 / 8], **DOUBLE))
    expected = 0.5 * (environment[3, 0] + environment[3, -1])
    torch.testing.assert_close(latlong.lookup(environment, seam), expected)
    up = torch.tensor([0.0, 0.0, 5.0], **DOUBLE)
    assert environment[0].min() <= latlong.lookup(environment, up).min()


def test_lookup_gradients():
    generator = torch.Generator().manual_seed(0)
    environment = torch.rand(4, 8, 2, generator=generator, **DOUBLE).requires_grad_()
    directions = torch.randn(12, 3, generator=generator, **DOUBLE).requires_grad_()
    assert gradcheck(latlong.lookup, (environment, directions), eps=1e-7, atol=1e-5)


def test_gradients_are_finite_at_the_poles():
    poles = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]).requires_grad_()
    latlong.lookup(torch.rand(4, 8, 3), poles).sum().backward()
    assert poles.grad is not None and bool(poles.grad.isfinite().all())


@pytest.mark.parametrize("radians", [0.0, pi / 2, -pi / 4, 2 * pi, 7 * pi / 8])
def test_rotation_by_whole_texels_is_exact(radians):
    environment = torch.rand(8, 16, 3, **DOUBLE)
    directions = torch.nn.functional.normalize(torch.randn(40, 3, **DOUBLE), dim=-1)
    turned = latlong.lookup(latlong.rotate(environment, radians), directions)
    torch.testing.assert_close(
        turned, latlong.lookup(environment, latlong.turn(directions, -radians)), atol=1e-5, rtol=0
    )


def test_rotation_is_counter_clockwise_seen_from_above():
    """Light at +x, turned by a quarter, comes from +y."""
    environment = torch.zeros(8, 16, 1)
    environment[:, 0] = environment[:, -1] = 1.0
    turned = latlong.rotate(environment, pi / 2)
    assert latlong.lookup(turned, torch.tensor([0.0, 1.0, 0.0])).item() == pytest.approx(1.0)
    assert latlong.lookup(turned, torch.tensor([1.0, 0.0, 0.0])).item() == 0.0


def test_fractional_rotation_keeps_energy_and_moves_the_centre():
    environment = torch.zeros(8, 16, 1, **DOUBLE)
    environment[3, 5] = 2.0
    step = 2.0 * pi / 16
    turned = latlong.rotate(environment, 0.25 * step)
    assert turned[3, 5].item() == pytest.approx(1.5) and turned[3, 4].item() == pytest.approx(0.5)
    back = latlong.rotate(environment, -0.25 * step)
    assert back[3, 5].item() == pytest.approx(1.5) and back[3, 6].item() == pytest.approx(0.5)


@pytest.mark.parametrize(("height", "width"), [(8, 16), (4, 8), (5, 11), (64, 128)])
def test_downsampling_keeps_the_energy_of_a_sun(height, width):
    sky = torch.full((32, 64, 3), 0.1, **DOUBLE)
    sky[9, 50] = torch.tensor([9e4, 8e4, 6e4], **DOUBLE)
    before = (sky * latlong.solid_angles(32, 64, **DOUBLE)[..., None]).sum((0, 1))
    small = latlong.downsample(sky, height, width)
    after = (small * latlong.solid_angles(height, width, **DOUBLE)[..., None]).sum((0, 1))
    torch.testing.assert_close(after, before)


def test_downsampling_a_constant():
    constant = latlong.downsample(torch.full((30, 60, 3), 0.7), 7)
    torch.testing.assert_close(constant, torch.full((7, 14, 3), 0.7))


def test_a_map_in_other_axes_shows_what_the_old_one_shows_there():
    environment = torch.rand(64, 128, 3, generator=torch.Generator().manual_seed(0))
    environment = latlong.downsample(latlong.downsample(environment, 8), 64)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    rotation = rotation * torch.linalg.det(rotation)
    directions = torch.randn(50, 3, generator=torch.Generator().manual_seed(2))
    found = latlong.lookup(latlong.reoriented(environment, rotation), directions)
    expected = latlong.lookup(environment, directions @ rotation.T)
    assert (found - expected).abs().mean() < 0.02
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    torch.testing.assert_close(
        latlong.reoriented(environment, half_turn),
        latlong.rotate(environment, pi),
        atol=1e-4,
        rtol=0,
    )
