import dataclasses
from math import pi
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from relight3d.core.errors import ConfigurationError
from relight3d.core.types import EnvironmentLight, PointLight
from relight3d.shading import environment_brdf as environment_brdf_module
from relight3d.shading import prefilter as prefilter_module
from relight3d.shading.deferred import GBuffer, shade, shade_delta
from relight3d.shading.environment import EnvironmentParameters
from relight3d.shading.prefilter import build_prefilter

DOUBLE: dict[str, Any] = {"dtype": torch.float64}


def random_gbuffer(count: int, **options) -> GBuffer:
    generator = torch.Generator().manual_seed(0)
    albedo, roughness, metallic = (
        torch.rand(count, size, generator=generator, **DOUBLE) * 0.8 + 0.1 for size in (3, 1, 1)
    )
    normal, view = (
        torch.nn.functional.normalize(torch.randn(count, 3, generator=generator, **DOUBLE), dim=-1)
        for _ in range(2)
    )
    cosine = (normal * view).sum(-1, keepdim=True)
    view = torch.nn.functional.normalize(view + (cosine.abs() + 0.2 - cosine) * normal, dim=-1)
    return GBuffer(albedo, roughness, metallic, normal, view, **options)


def test_uniform_light_on_a_diffuse_white_is_nearly_white():
    light = build_prefilter(16)(torch.ones(16, 32, 3))
    z = torch.tensor([[0.0, 0.0, 1.0]])
    white = GBuffer(torch.ones(1, 3), torch.ones(1, 1), torch.zeros(1, 1), z, z)
    parts = shade(white, light)
    assert 0.9 < parts.radiance.min().item() <= parts.radiance.max().item() <= 1.0
    torch.testing.assert_close(parts.radiance, parts.diffuse + parts.specular)


def test_given_irradiance_and_specular_visibility_are_used():
    light = build_prefilter(16)(torch.ones(16, 32, 3)).turned(0.0)
    open_, half = random_gbuffer(8), torch.full((8, 1), 0.5, **DOUBLE)
    plain = shade(
        open_,
        dataclasses.replace(
            light, atlas=light.atlas.double(), irradiance_map=light.irradiance_map.double()
        ),
    )
    occluded = dataclasses.replace(
        open_, irradiance=torch.full((8, 3), 0.5 * pi, **DOUBLE), specular_visibility=half
    )
    parts = shade(
        occluded,
        dataclasses.replace(
            light, atlas=light.atlas.double(), irradiance_map=light.irradiance_map.double()
        ),
    )
    torch.testing.assert_close(parts.diffuse, 0.5 * plain.diffuse, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(parts.specular, 0.5 * plain.specular)


def test_occluders_show_their_own_radiance():
    """A lobe that is half occluded by something as bright as the sky looks unoccluded."""
    light = build_prefilter(16).to(dtype=torch.float64)(torch.full((16, 32, 3), 0.6, **DOUBLE))
    open_ = random_gbuffer(8)
    half = torch.full((8, 1), 0.5, **DOUBLE)
    hidden = dataclasses.replace(
        open_, specular_visibility=half, surroundings=torch.full((3,), 0.6, **DOUBLE)
    )
    torch.testing.assert_close(shade(hidden, light).specular, shade(open_, light).specular)


def test_inference_first_does_not_spoil_training():
    """Tables cached under inference mode must still serve a backward pass."""
    environment_brdf_module.brdf_table.cache_clear()
    prefilter_module._build.cache_clear()
    z = torch.tensor([[0.0, 0.0, 1.0]])

    def radiance(environment, roughness):
        surface = GBuffer(torch.ones(1, 3), roughness, torch.zeros(1, 1), z, z)
        return shade(surface, build_prefilter(8)(environment)).radiance

    with torch.inference_mode():
        radiance(torch.rand(8, 16, 3), torch.full((1, 1), 0.5))
    environment, roughness = torch.rand(8, 16, 3), torch.full((1, 1), 0.5)
    radiance(environment.requires_grad_(), roughness.requires_grad_()).sum().backward()
    assert environment.grad is not None and roughness.grad is not None


def test_mirror_shows_the_environment():
    """A smooth white metal facing up, seen at 45 degrees, shows the texel on the other side."""
    environment = torch.rand(64, 128, 3) + 0.1
    light = build_prefilter(64)(environment)
    normal = torch.tensor([[0.0, 0.0, 1.0]])
    view = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0, 1.0]]), dim=-1)
    mirror = GBuffer(torch.ones(1, 3), torch.zeros(1, 1), torch.ones(1, 1), normal, view)
    seen = shade(mirror, light).specular[0]
    corners = environment[15:17, 63:65].reshape(-1, 3)  # azimuth 180 degrees, 45 from the zenith
    torch.testing.assert_close(seen, corners.mean(0), rtol=0.02, atol=0.02)


def test_multiscatter_returns_lost_energy_of_rough_metal_only_upward():
    light = build_prefilter(16).to(dtype=torch.float64)(torch.ones(16, 32, 3, **DOUBLE))
    rough = dataclasses.replace(
        random_gbuffer(30), albedo=torch.ones(30, 3, **DOUBLE),
        roughness=torch.ones(30, 1, **DOUBLE), metallic=torch.ones(30, 1, **DOUBLE),
    )  # fmt: skip
    single, multiple = shade(rough, light).radiance, shade(rough, light, multiscatter=True).radiance
    assert single.max() < 0.8
    torch.testing.assert_close(multiple, torch.ones_like(multiple), rtol=1e-3, atol=0.0)


def test_point_light_by_hand():
    """A diffuse surface 2 below the light: albedo (1 - F0) / pi times I / d^2, plus the lobe."""
    z = torch.tensor([[0.0, 0.0, 1.0]], **DOUBLE)
    one = torch.ones(1, 1, **DOUBLE)
    surface = GBuffer(torch.full((1, 3), 0.5, **DOUBLE), one, 0.0 * one, z, z)
    lamp = PointLight((0.0, 0.0, 2.0), (8.0, 4.0, 0.0))
    parts = shade_delta(surface, torch.zeros(1, 3, **DOUBLE), lamp)
    arriving = torch.tensor([[2.0, 1.0, 0.0]], **DOUBLE)
    torch.testing.assert_close(parts.diffuse, 0.96 * 0.5 / pi * arriving)
    torch.testing.assert_close(parts.specular, 0.04 / (4.0 * pi) * arriving)
    shadowed = shade_delta(surface, torch.zeros(1, 3, **DOUBLE), lamp, 0.25 * one)
    torch.testing.assert_close(shadowed.radiance, 0.25 * parts.radiance)


def test_gradients_of_shading():
    surface = random_gbuffer(5)
    prefilter = build_prefilter(4, 3).to(dtype=torch.float64)
    environment = (torch.rand(4, 8, 3, **DOUBLE) + 0.1).requires_grad_()

    def radiance(environment, albedo, roughness, metallic, normal):
        moved = GBuffer(albedo, roughness, metallic, normal, surface.view)
        return shade(moved, prefilter(environment)).radiance

    parts = (surface.albedo, surface.roughness, surface.metallic, surface.normal)
    inputs = (environment, *(part.requires_grad_() for part in parts))
    assert gradcheck(radiance, inputs, eps=1e-7, atol=1e-4)


def test_gradients_of_point_lights():
    surface, positions = random_gbuffer(5), torch.rand(5, 3, **DOUBLE)
    lamp = PointLight((3.0, -2.0, 4.0), (5.0, 6.0, 7.0))

    def radiance(positions, albedo, roughness, normal):
        moved = GBuffer(albedo, roughness, surface.metallic, normal, surface.view)
        return shade_delta(moved, positions, lamp).radiance

    parts = (positions, surface.albedo, surface.roughness, surface.normal)
    assert gradcheck(radiance, [part.requires_grad_() for part in parts], atol=1e-6)


def test_gradients_stay_finite_for_extreme_surfaces():
    """Smooth, black, seen from behind, mirrored into the pole."""
    light = build_prefilter(16)(torch.rand(16, 32, 3).requires_grad_())
    z = torch.tensor([[0.0, 0.0, 1.0]])
    for view in (z, -z, torch.tensor([[1.0, 0.0, 0.0]])):
        inputs = [torch.zeros(1, 3), torch.zeros(1, 1), torch.ones(1, 1), z.clone()]
        albedo, roughness, metallic, normal = (part.requires_grad_() for part in inputs)
        surface = GBuffer(albedo, roughness, metallic, normal, view)
        radiance = shade(surface, light).radiance
        assert bool(radiance.isfinite().all())
        radiance.sum().backward(retain_graph=True)
        assert all(bool(part.grad.isfinite().all()) for part in inputs if part.grad is not None)


def test_environment_parameters():
    parameters = EnvironmentParameters.neutral(8, radiance=0.5)
    assert parameters.log_radiance.is_leaf and parameters.log_radiance.requires_grad
    torch.testing.assert_close(parameters.radiance, torch.full((8, 16, 3), 0.5))
    parameters.radiance.sum().backward()
    assert parameters.log_radiance.grad is not None
    torch.testing.assert_close(parameters.log_radiance.grad, torch.full((8, 16, 3), 0.5))
    known = torch.rand(4, 8, 3) + 0.1
    started = EnvironmentParameters.from_light(EnvironmentLight(known))
    torch.testing.assert_close(started.light().radiance_linear, known)
    black = EnvironmentParameters.from_light(EnvironmentLight(torch.zeros(4, 8, 3)))
    assert bool(black.log_radiance.isfinite().all())
    runaway = EnvironmentParameters(torch.full((4, 8, 3), 500.0))
    assert bool(runaway.radiance.isfinite().all())


@pytest.mark.parametrize(("height", "radiance"), [(0, 1.0), (8, 0.0)])
def test_impossible_environments_are_refused(height, radiance):
    with pytest.raises(ConfigurationError, match="neutral environment"):
        EnvironmentParameters.neutral(height, radiance)
