"""Soft lights: their width, their irradiance, and the maps drawn of them."""

import math

import pytest
import torch

from relight3d.core.types import LobeLight
from relight3d.shading.directions import spherical_fibonacci
from relight3d.shading.latlong import solid_angles, texel_directions
from relight3d.shading.lobes import facing_irradiance, rasterized, sharpness_of, soft_light


@pytest.mark.parametrize("width_deg", [2.0, 40.0, 180.0, 360.0])
def test_a_lobe_is_half_as_bright_at_half_its_width(width_deg):
    width = math.radians(width_deg)
    falloff = math.exp(sharpness_of(width) * (math.cos(0.5 * width) - 1.0))
    assert falloff == pytest.approx(0.5)


@pytest.mark.parametrize("sharpness", [1e-9, 1e-4, 0.5, 8.0, 300.0])
def test_irradiance_is_the_integral(sharpness):
    cosine = spherical_fibonacci(400_000, dtype=torch.float64)[:, 2]
    lobe = torch.exp(sharpness * (cosine - 1.0)) * cosine.clamp_min(0.0)
    assert facing_irradiance(sharpness) == pytest.approx(float(lobe.mean()) * 4 * math.pi, rel=1e-3)


def test_a_soft_light_is_as_bright_as_a_sun_of_its_numbers():
    for width in (0.2, 1.0, 3.0):
        lobe = soft_light((0.0, 0.0, 1.0), width, (3.0, 2.0, 0.0))
        found = [peak * facing_irradiance(lobe.sharpness) for peak in lobe.peak_linear]
        assert found == pytest.approx([3.0, 2.0, 0.0])


@pytest.mark.parametrize("sharpness", [0.3, 20.0, 1e6])
def test_a_map_keeps_the_lobes_energy_and_direction(sharpness):
    lobe = LobeLight((3.0, -4.0, 1.0), sharpness, (1.0, 2.0, 0.5))
    drawn = rasterized([lobe], 64).double()
    areas = solid_angles(64, 128, dtype=torch.float64)[..., None]
    energy = (drawn * areas).sum((0, 1))
    expected = 2 * math.pi * (1 - math.exp(-2 * sharpness)) / sharpness
    torch.testing.assert_close(
        energy, expected * torch.tensor([1.0, 2.0, 0.5]).double(), rtol=1e-5, atol=0.0
    )
    moment = (drawn[..., :1] * areas * texel_directions(64, 128, dtype=torch.float64)).sum((0, 1))
    axis = torch.tensor([3.0, -4.0, 1.0]).double() / math.sqrt(26.0)
    assert float(moment @ axis / moment.norm()) > 0.999


def test_wide_lobes_look_as_they_are_defined():
    lobe = LobeLight((0.0, 1.0, 0.0), 4.0, (1.0, 1.0, 1.0))
    cosine = texel_directions(64, 128)[..., 1:2]
    expected = torch.exp(4.0 * (cosine - 1.0)).expand(-1, -1, 3)
    torch.testing.assert_close(rasterized([lobe], 64), expected, rtol=2e-3, atol=0.0)


def test_lobes_add():
    up = LobeLight((0.0, 0.0, 1.0), 5.0, (1.0, 1.0, 1.0))
    aside = LobeLight((1.0, 0.0, 0.0), 2.0, (2.0, 0.0, 2.0))
    torch.testing.assert_close(
        rasterized([up, aside], 16), rasterized([up], 16) + rasterized([aside], 16)
    )
