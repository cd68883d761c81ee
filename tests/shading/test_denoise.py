"""The edge-stopping filter: laws it keeps exactly, edges it keeps, noise it takes away."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from relight3d.core.errors import ConfigurationError
from relight3d.shading.brdf import evaluate
from relight3d.shading.denoise import (
    DenoiseOptions,
    Guides,
    demodulate,
    denoise,
    floored,
    specular_reflectance,
)
from relight3d.shading.directions import spherical_fibonacci

SIZE = 48


def guides(size: int = SIZE, dtype: torch.dtype = torch.float32, **changed: Tensor) -> Guides:
    """A wall three units in front of the camera."""
    ahead = torch.tensor([0.0, 0.0, -1.0]).expand(size, size, 3)
    u = torch.linspace(-0.4, 0.4, size)
    rays = torch.stack([*torch.meshgrid(u, u, indexing="xy"), torch.ones(size, size)], -1)
    parts = {
        "normal": ahead, "depth": torch.full((size, size, 1), 3.0), "rays": rays,
        "coverage": torch.ones(size, size, 1),
    }  # fmt: skip
    return Guides(**{name: part.to(dtype) for name, part in (parts | changed).items()})


def noise(seed: int = 0, size: int = SIZE, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, size, 3, generator=generator).to(dtype)


def halves(left: float, right: float) -> Tensor:
    columns = torch.arange(SIZE) < SIZE // 2
    return torch.where(columns, left, right).expand(SIZE, SIZE)[..., None].clone()


def rolled_ball(size: int = SIZE) -> Guides:
    """A ball that fills the middle of the picture, nothing around it."""
    u = torch.linspace(-1.2, 1.2, size)
    x, y = torch.meshgrid(u, u, indexing="xy")
    height = (1 - x * x - y * y).clamp_min(0.0).sqrt()[..., None]
    inside = (height > 0).float()
    normal = torch.nn.functional.normalize(torch.stack([x, y], -1), dim=-1)
    normal = torch.cat([normal * (1 - height**2).sqrt(), -height], -1) * inside
    return guides(size, normal=normal, depth=4.0 - height, coverage=inside)


def test_a_constant_stays():
    for surface in (guides(), rolled_ball()):
        value = torch.tensor([0.2, 30.0, 1e-4]).expand(SIZE, SIZE, 3)
        found = denoise(value, surface)
        covered = surface.coverage[..., 0] > 0
        torch.testing.assert_close(found[covered], value[covered], rtol=2e-6, atol=0.0)
        assert not found[~covered].any()


@pytest.mark.parametrize("told", [True, False])
def test_flat_noise_loses_nearly_all_of_its_variance(told):
    noisy = noise()
    variance = torch.full((SIZE, SIZE, 1), 1 / 36) if told else None  # of a mean of three channels
    found = denoise(noisy, guides(), variance)
    assert float(noisy.var() / found.var()) > 50
    assert float(found.mean()) == pytest.approx(float(noisy.mean()), rel=0.01)


def test_without_noise_nothing_changes():
    """Variance 0 says that every difference is true."""
    picture = noise()[..., :1].expand(-1, -1, 3)
    found = denoise(picture, guides(), torch.zeros(SIZE, SIZE, 1))
    torch.testing.assert_close(found, picture, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("edge", ["normal", "depth", "albedo", "roughness"])
def test_light_stops_at_an_edge_of_the_surface(edge):
    """Light of 1 and 2 to the sides of an edge, noise as large: neither feels the other."""
    step = halves(0.0, 1.0)
    changed: dict[str, Tensor] = {
        "normal": torch.cat([step, 0 * step, -(1 - step)], -1),
        "depth": 3.0 + 0.3 * step,
        "albedo": (0.1 + 0.8 * step).expand(-1, -1, 3),
        "roughness": 0.2 + 0.6 * step,
    }
    noisy = 1.0 + step + 0.5 * (noise() - 0.5)
    surface = dataclasses.replace(guides(), **{edge: changed[edge]})
    found = denoise(noisy, surface, torch.full((SIZE, SIZE, 1), 1.0))
    sides = found[:, : SIZE // 2], found[:, SIZE // 2 :]
    assert float(sides[0].mean()) == pytest.approx(1.0, abs=0.01)
    assert float(sides[1].mean()) == pytest.approx(2.0, abs=0.01)
    assert float(found[:, SIZE // 2].mean() - found[:, SIZE // 2 - 1].mean()) > 0.98
    blurred = denoise(noisy, guides(), torch.full((SIZE, SIZE, 1), 1.0))
    assert float(blurred[:, SIZE // 2].mean() - blurred[:, SIZE // 2 - 1].mean()) < 0.7


def test_a_shadow_far_above_the_noise_keeps_its_edge():
    step = halves(0.0, 1.0)
    found = denoise(step + 0.02 * noise(), guides(), torch.full((SIZE, SIZE, 1), 0.02**2 / 36))
    assert float(found[:, SIZE // 2].mean() - found[:, SIZE // 2 - 1].mean()) > 0.98


def test_nothing_crosses_the_silhouette():
    """What is outside of the object may be anything: no pixel inside feels it."""
    surface = rolled_ball()
    outside = surface.coverage == 0
    dark = torch.where(outside, 0.0, noise())
    bright = torch.where(outside, 1e6, dark)
    assert torch.equal(denoise(dark, surface), denoise(bright, surface))


def test_a_tilted_plane_is_one_surface():
    """Depth changes by many pixel widths along it, and yet nothing stops the filter."""
    normal = torch.nn.functional.normalize(torch.tensor([0.85, 0.0, -0.52]), dim=0)
    rays = guides().rays
    depth = (normal * torch.tensor([0.0, 0.0, 3.0])).sum() / (rays * normal).sum(-1, keepdim=True)
    assert float(depth.max() / depth.min()) > 4
    surface = guides(normal=normal.expand(SIZE, SIZE, 3), depth=depth)
    noisy = noise()
    assert float(noisy.var() / denoise(noisy, surface).var()) > 50


def test_gradients_are_those_of_the_fixed_weights():
    """With variance told, and stops so wide that brightness moves no weight, it is linear."""
    size = 5
    surface = guides(size, torch.float64, coverage=noise(1, size)[..., :1])
    options = DenoiseOptions(iterations=2, deviations=1e6)
    picture = noise(2, size, torch.float64).requires_grad_()
    variance = torch.full((size, size, 1), 1.0, dtype=torch.float64)

    def filtered(values: Tensor) -> Tensor:
        return denoise(values, surface, variance, options)

    assert torch.autograd.gradcheck(filtered, (picture,), eps=1e-4, atol=1e-6, rtol=1e-5)


def test_gradients_do_not_reach_the_guides():
    depth = torch.full((SIZE, SIZE, 1), 3.0).requires_grad_()
    picture = noise().requires_grad_()
    denoise(picture, guides(depth=depth)).sum().backward()
    assert depth.grad is None
    assert picture.grad is not None
    assert bool(picture.grad.isfinite().all()) and float(picture.grad.min()) >= 0


def toy_light(samples: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Irradiance of a ball under a small lamp and a dim sky, by uniform samples of the sphere."""
    surface = rolled_ball(64)
    lamp = torch.nn.functional.normalize(torch.tensor([0.5, -0.7, -0.6]), dim=0)
    directions = spherical_fibonacci(2048)
    radiance = 0.3 + 8.0 * torch.exp(8.0 * (directions @ lamp - 1.0))
    light = (surface.normal @ directions.t()).clamp_min(0.0) * radiance  # 64 x 64 x 2048
    if samples:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randint(2048, (64, 64, samples), generator=generator)
        light = light.gather(-1, chosen)
    light = light * (4 * math.pi)
    spread = light.var(-1, keepdim=True) / light.shape[-1]
    return light.mean(-1, keepdim=True).expand(-1, -1, 3), spread


@pytest.mark.parametrize(("samples", "gain_db"), [(2, 9.5), (8, 9.0), (32, 5.0)])
def test_few_samples_come_near_to_many(samples, gain_db):
    truth, surface = toy_light(0)[0], rolled_ball(64)
    noisy, variance = toy_light(samples)
    inside = surface.coverage[..., 0] > 0

    def error(picture: Tensor) -> float:
        return float((picture - truth)[inside].square().mean())

    found = denoise(noisy, surface, variance if samples > 4 else None)
    assert 10 * math.log10(error(noisy) / error(found)) > gain_db


def test_an_empty_picture_stays_empty():
    nothing = guides(coverage=torch.zeros(SIZE, SIZE, 1))
    assert not denoise(noise(), nothing).any()


def test_pictures_smaller_than_the_window_are_filtered():
    one = guides(1)
    value = noise(0, 1)
    torch.testing.assert_close(denoise(value, one), value)


@pytest.mark.parametrize(
    "wrong", [{"iterations": 0}, {"iterations": 9}, {"plane_px": 0.0}, {"deviations": math.nan}]
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="1 to 8 iterations"):
        DenoiseOptions(**wrong)


def test_light_without_colour_gets_its_colour_back():
    reflectance = noise() ** 4
    radiance = reflectance * 3.0
    light = demodulate(radiance, reflectance)
    torch.testing.assert_close(light * floored(reflectance), radiance)
    assert float(demodulate(torch.zeros(1, 3), torch.zeros(1, 3)).sum()) == 0.0


@pytest.mark.parametrize("roughness", [0.4, 0.9])
@pytest.mark.parametrize("metallic", [0.0, 1.0])
def test_specular_reflectance_is_the_integral_of_the_brdf(roughness, metallic):
    directions = spherical_fibonacci(200_000, dtype=torch.float64)
    normal = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    view = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    albedo = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    rough, metal = torch.full((1,), roughness).double(), torch.full((1,), metallic).double()
    _, specular = evaluate(normal, view, directions, albedo, rough, metal)
    expected = specular.mean(0, keepdim=True) * 4 * math.pi
    found = specular_reflectance(
        albedo[None].float(), metal[None].float(), rough[None].float(), torch.tensor([[0.8]])
    )
    torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=0.0)
