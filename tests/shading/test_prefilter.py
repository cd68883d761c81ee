from math import pi
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from relight3d.core import sh
from relight3d.core.errors import ConfigurationError
from relight3d.shading import latlong
from relight3d.shading.brdf import ggx_density
from relight3d.shading.irradiance import irradiance_from_sh, project_sh
from relight3d.shading.prefilter import build_prefilter

DOUBLE: dict[str, Any] = {"dtype": torch.float64}


def directions(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(
        torch.randn(count, 3, generator=generator, **DOUBLE), dim=-1
    )


def smooth_environment(height: int) -> torch.Tensor:
    where = latlong.texel_directions(height, 2 * height, **DOUBLE)
    generator = torch.Generator().manual_seed(5)
    coefficients = torch.randn(16, 3, generator=generator, **DOUBLE) * 0.3
    return 3.0 + sh.basis(where, 3) @ coefficients


def sun_environment(height: int) -> torch.Tensor:
    environment = torch.full((height, 2 * height, 3), 0.2, **DOUBLE)
    environment[height // 4, height // 2] += 500.0
    return environment


@pytest.mark.parametrize("height", [16, 64])
def test_constant_stays_constant(height):
    light = build_prefilter(height)(torch.full((height, 2 * height, 3), 0.7))
    torch.testing.assert_close(light.level_maps, torch.full_like(light.level_maps, 0.7))
    where = directions(50).float()
    rough = torch.rand(50, 1)
    torch.testing.assert_close(light.specular(where, rough), torch.full((50, 3), 0.7))
    torch.testing.assert_close(light.irradiance(where), torch.full((50, 3), 0.7 * pi))


def test_level_zero_is_the_map_itself():
    environment = torch.rand(16, 32, 3)
    light = build_prefilter(16)(environment)
    torch.testing.assert_close(light.level_maps[0], environment)
    where = directions(30).float()
    sharp = light.specular(where, torch.zeros(30, 1))
    torch.testing.assert_close(sharp, latlong.lookup(environment, where), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("level", [4, 8])
def test_blur_equals_the_plain_sum_over_texels(level):
    """The Fourier operator against the definition, at texel centres."""
    height, levels = 16, 9
    environment = sun_environment(height) + smooth_environment(height)
    light = build_prefilter(height, levels).to(dtype=torch.float64)(environment)
    where = latlong.texel_directions(height, 2 * height, **DOUBLE).reshape(-1, 3)
    fine = 3
    texels = latlong.texel_directions(height * fine, 2 * height * fine, **DOUBLE)
    cosine = (where @ texels.reshape(-1, 3).t()).clamp(-1.0, 1.0)
    density = ggx_density(
        torch.sqrt(0.5 * (1.0 + cosine)), torch.tensor(level / (levels - 1), **DOUBLE)
    )
    weight = density * cosine.clamp_min(0.0)
    areas = latlong.solid_angles(height * fine, 2 * height * fine, **DOUBLE).reshape(-1)
    repeated = environment.repeat_interleave(fine, 0).repeat_interleave(fine, 1).reshape(-1, 3)
    plain = ((weight * areas) @ repeated) / (weight * areas).sum(1, keepdim=True)
    found = light.level_maps[level].reshape(-1, 3)
    torch.testing.assert_close(found, plain, rtol=0.03, atol=0.01)


def test_coarse_levels_agree_with_fine_ones():
    """A 64-row operator computes rough levels on fewer rows; the 16-row one computes them all."""
    small = smooth_environment(16)
    large = smooth_environment(64)
    where, rough = directions(60), torch.full((60, 1), 0.75, **DOUBLE)
    first = build_prefilter(16).to(dtype=torch.float64)(small).specular(where, rough)
    second = build_prefilter(64).to(dtype=torch.float64)(large).specular(where, rough)
    torch.testing.assert_close(first, second, rtol=0.02, atol=0.0)


@pytest.mark.parametrize("make", [smooth_environment, sun_environment])
def test_irradiance_equals_the_sum_over_texels(make):
    environment = make(32)
    normals = directions(80)
    texels = latlong.texel_directions(32, 64, **DOUBLE).reshape(-1, 3)
    areas = latlong.solid_angles(32, 64, **DOUBLE).reshape(-1, 1)
    plain = (normals @ texels.t()).clamp_min(0.0) @ (environment.reshape(-1, 3) * areas)
    found = build_prefilter(32).to(dtype=torch.float64)(environment).irradiance(normals)
    torch.testing.assert_close(found, plain, rtol=0.02, atol=0.02 * plain.max().item())


def test_irradiance_from_sh():
    environment = smooth_environment(32)
    constant = project_sh(torch.ones(8, 16, 3, **DOUBLE))
    normals = directions(80)
    torch.testing.assert_close(
        irradiance_from_sh(constant, normals), torch.full((80, 3), pi, **DOUBLE), rtol=1e-2, atol=0
    )
    texels = latlong.texel_directions(32, 64, **DOUBLE).reshape(-1, 3)
    areas = latlong.solid_angles(32, 64, **DOUBLE).reshape(-1, 1)
    plain = (normals @ texels.t()).clamp_min(0.0) @ (environment.reshape(-1, 3) * areas)
    for degree in (2, 3):
        found = irradiance_from_sh(project_sh(environment, degree), normals)
        torch.testing.assert_close(found, plain, rtol=5e-3, atol=0.0)


def test_projection_reproduces_a_basis_function():
    where = latlong.texel_directions(64, 128, **DOUBLE)
    basis = sh.basis(where, 3)
    found = project_sh(basis, 3)
    torch.testing.assert_close(found, torch.eye(16, **DOUBLE), atol=2e-3, rtol=0.0)


def test_bright_texel_lights_what_faces_it():
    environment = torch.zeros(16, 32, 3)
    environment[4, 24] = 100.0  # u = 0.766, v = 0.281: azimuth -276 degrees, 50 from the zenith
    light = build_prefilter(16)(environment)
    toward = latlong.texel_directions(16, 32)[4, 24]
    assert toward[1] > 0.7 and toward[2] > 0.6
    normals = torch.stack([toward, -toward])
    irradiance = light.irradiance(normals)[:, 0]
    assert irradiance[0] > 2.9 and irradiance[1] < 1e-3
    glossy = light.specular(normals, torch.full((2, 1), 0.4))[:, 0]
    assert glossy[0] > 5.0 and glossy[1] < 1e-3


@pytest.mark.parametrize("radians", [0.4, -2.0])
def test_turning_the_light_is_turning_the_world_back(radians):
    light = build_prefilter(16)(torch.rand(16, 32, 3))
    where, rough = directions(40).float(), torch.rand(40, 1)
    turned = light.turned(radians - 0.1).turned(0.1)
    back = latlong.turn(where, -radians)
    torch.testing.assert_close(turned.specular(where, rough), light.specular(back, rough))
    torch.testing.assert_close(turned.irradiance(where), light.irradiance(back))


def test_turned_light_equals_prefiltered_turned_map():
    environment = torch.rand(16, 32, 3)
    prefilter = build_prefilter(16)
    where, rough = directions(40).float(), torch.rand(40, 1)
    first = prefilter(environment).turned(pi / 2)
    second = prefilter(latlong.rotate(environment, pi / 2))
    for a, b in (
        (first.specular(where, rough), second.specular(where, rough)),
        (first.irradiance(where), second.irradiance(where)),
    ):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    prefilter = build_prefilter(4, 3).to(dtype=torch.float64)
    environment = torch.rand(4, 8, 3, generator=generator, **DOUBLE).requires_grad_()
    where = directions(8).requires_grad_()
    rough = (torch.rand(8, 1, generator=generator, **DOUBLE) * 0.9 + 0.03).requires_grad_()

    def values(environment, where, rough):
        light = prefilter(environment)
        return light.specular(where, rough), light.irradiance(where)

    assert gradcheck(values, (environment, where, rough), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize(("height", "levels"), [(24, 9), (2, 9), (16, 1)])
def test_impossible_sizes_are_refused(height, levels):
    with pytest.raises(ConfigurationError, match="power of two"):
        build_prefilter(height, levels)
