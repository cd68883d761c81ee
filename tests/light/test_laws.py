"""Laws of light that all of shading obeys together, against brute force."""

import dataclasses
from math import pi
from typing import Any

import pytest
import torch

from relight3d.core import sh
from relight3d.shading import latlong
from relight3d.shading.deferred import GBuffer, shade
from relight3d.shading.prefilter import build_prefilter
from relight3d.shading.reference import shade_by_samples, shade_by_texels

DOUBLE: dict[str, Any] = {"dtype": torch.float64}
PIXELS = 64


def surface(roughness: float, metallic: float, albedo: float = 0.7) -> GBuffer:
    """Pixels facing everywhere, seen as often from any angle as a sphere's are (uniform n.v^2)."""
    generator = torch.Generator().manual_seed(0)
    normal, side = (
        torch.nn.functional.normalize(torch.randn(PIXELS, 3, generator=generator, **DOUBLE), dim=-1)
        for _ in range(2)
    )
    side = torch.nn.functional.normalize(torch.linalg.cross(normal, side), dim=-1)
    n_dot_v = torch.sqrt((torch.arange(PIXELS, **DOUBLE)[:, None] + 0.5) / PIXELS)
    view = n_dot_v * normal + torch.sqrt(1.0 - n_dot_v**2) * side
    rough, metal = (torch.full((PIXELS, 1), value, **DOUBLE) for value in (roughness, metallic))
    return GBuffer(torch.full((PIXELS, 3), albedo, **DOUBLE), rough, metal, normal, view)


def sky(kind: str, height: int = 32) -> torch.Tensor:
    where = latlong.texel_directions(height, 2 * height, **DOUBLE)
    if kind == "uniform":
        return torch.ones(height, 2 * height, 3, **DOUBLE)
    if kind == "gradient":
        return (1.2 + where[..., 2:]).expand(-1, -1, 3).clone()
    if kind == "smooth":
        generator = torch.Generator().manual_seed(5)
        return 3.0 + sh.basis(where, 3) @ (torch.randn(16, 3, generator=generator, **DOUBLE) * 0.5)
    windows = torch.full((height, 2 * height, 3), 0.3, **DOUBLE)
    windows[height // 4 : height // 2, 5 : height // 2] = 6.0
    windows[height // 3 : 2 * height // 3, height : height + 8] = 3.0
    return windows


def split_sum(gbuffer: GBuffer, environment: torch.Tensor):
    prefilter = build_prefilter(environment.shape[0]).to(dtype=torch.float64)
    return shade(gbuffer, prefilter(environment))


@pytest.mark.parametrize("metallic", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("roughness", [0.05, 0.3, 0.6, 1.0])
def test_white_furnace(roughness, metallic):
    """A white surface under uniform light shines no brighter than the light.

    Metals and rough dielectrics at no angle. glTF weakens the diffuse base by the Fresnel term of
    the half vector, and so lets smooth white dielectrics gain a few per cent at grazing angles.
    """
    white = surface(roughness, metallic, albedo=1.0)
    parts = split_sum(white, sky("uniform"))
    assert parts.specular.max() <= 1.0 + 1e-6 and parts.diffuse.max() <= 1.0 + 1e-6
    if metallic == 1.0 or roughness == 1.0:
        assert parts.radiance.max() <= 1.0 + 1e-6
    assert parts.radiance.mean() < 1.06
    assert parts.radiance.min() > 0.3
    truth = shade_by_samples(white, sky("uniform"), 1024)
    torch.testing.assert_close(parts.specular, truth.specular, rtol=0.05, atol=0.01)
    torch.testing.assert_close(parts.diffuse, truth.diffuse, rtol=0.01, atol=0.001)


@pytest.mark.parametrize(
    ("kind", "typical", "worst"),
    [
        ("uniform", 0.01, 0.04),
        ("gradient", 0.04, 0.15),
        ("smooth", 0.05, 0.2),
        ("windows", 0.15, 0.8),
    ],
)
@pytest.mark.parametrize("roughness", [0.1, 0.3, 0.5, 0.8])
def test_split_sum_against_brute_force(kind, typical, worst, roughness):
    """Mean and largest error of the specular part, relative to its mean over the pixels."""
    gbuffer, environment = surface(roughness, 0.5), sky(kind)
    found, truth = split_sum(gbuffer, environment), shade_by_samples(gbuffer, environment, 1024)
    mean = truth.specular.mean()
    error = (found.specular - truth.specular).abs() / mean
    assert error.mean() < typical
    assert error.max() < worst
    assert (found.specular.mean() / mean - 1.0).abs() < 0.03  # no bias
    torch.testing.assert_close(found.diffuse, truth.diffuse, rtol=0.06, atol=0.01)


def test_the_two_oracles_agree_on_rough_surfaces():
    gbuffer, environment = surface(0.7, 0.5), sky("smooth", 32)
    by_texels, by_samples = (
        shade_by_texels(gbuffer, environment).specular,
        shade_by_samples(gbuffer, environment, 4096).specular,
    )
    torch.testing.assert_close(by_texels, by_samples, rtol=0.03, atol=0.005)


def test_light_adds_up():
    """Radiance is linear in the environment."""
    gbuffer, first, second = surface(0.4, 0.3), sky("windows"), sky("gradient")
    together = split_sum(gbuffer, 2.0 * first + 0.5 * second).radiance
    apart = 2.0 * split_sum(gbuffer, first).radiance + 0.5 * split_sum(gbuffer, second).radiance
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)


def test_turning_light_and_surface_together_changes_nothing():
    gbuffer, environment, angle = surface(0.4, 0.3), sky("windows"), 3 * pi / 8
    before = split_sum(gbuffer, environment).radiance
    turned = dataclasses.replace(
        gbuffer,
        normal=latlong.turn(gbuffer.normal, angle),
        view=latlong.turn(gbuffer.view, angle),
    )
    after = split_sum(turned, latlong.rotate(environment, angle)).radiance
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
    for oracle in (shade_by_texels,):
        torch.testing.assert_close(
            oracle(turned, latlong.rotate(environment, angle)).diffuse,
            oracle(gbuffer, environment).diffuse,
        )
