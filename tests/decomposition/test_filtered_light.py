"""Noise goes, what materials make of the light stays."""

import torch
from balls import ball
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core.types import Asset, Materials
from relight3d.decomposition.filtered_light import filtered
from relight3d.decomposition.gbuffer import Drawn
from relight3d.decomposition.lit_view import Subject
from relight3d.decomposition.physics import Illumination
from relight3d.shading.denoise import diffuse_reflectance, floored, specular_reflectance
from relight3d.shading.montecarlo.estimator import SurfacePoints
from relight3d.shading.sampled import LightBySamples


def view(px: int = 40) -> tuple[Drawn, SurfacePoints]:
    """A ball painted in two colours, the edge between them at its equator."""
    splats = ball(1200)
    one, normals = torch.ones(1200, 1), torch.nn.functional.normalize(splats.means, dim=-1)
    albedo = torch.where(normals[:, 2:] > 0, 0.8, 0.1).expand(-1, 3)
    materials = Materials(albedo, 0.5 * one, 0.0 * one, normals, one, 0.02 * one)
    cameras = orbit(1, px, px)
    subject = Subject.of(Asset(splats, materials, {}), get_rasterizer("cpu"))
    drawn = subject.draw(cameras, subject.normals(cameras), Illumination())
    points = SurfacePoints(
        position=cameras.centers[0] - 3.0 * drawn.view_directions(),
        normal=torch.nn.functional.normalize(drawn.at_covered("normal"), dim=-1),
        geometric_normal=torch.nn.functional.normalize(drawn.at_covered("normal"), dim=-1),
        view=drawn.view_directions(),
        albedo=drawn.at_covered("albedo"),
        roughness=drawn.at_covered("roughness"),
        metallic=drawn.at_covered("metallic"),
    )
    return drawn, points


def reflected(points: SurfacePoints, light: float) -> list[torch.Tensor]:
    """Of uniform light: (diffuse, specular)."""
    n_dot_v = (points.normal * points.view).sum(-1, keepdim=True).clamp_min(1e-4)
    base = diffuse_reflectance(points.albedo, points.metallic)
    shine = specular_reflectance(points.albedo, points.metallic, points.roughness, n_dot_v)
    return [light * floored(base), light * floored(shine)]


def samples(
    exact: list[torch.Tensor], noise: float, seed: int = 0
) -> tuple[LightBySamples, LightBySamples]:
    """Two halves with independent noise, relative to the light."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for radiance in exact:
        halves = [
            0.5 * radiance * (1 + noise * torch.randn(len(radiance), 1, generator=generator))
            for _ in range(2)
        ]
        found.append(LightBySamples(halves[0] + halves[1], halves[0] - halves[1]))
    return found[0], found[1]


def test_even_light_stays_as_it_is():
    drawn, points = view()
    exact = reflected(points, 0.7)
    for spp in (2, 16):
        found = filtered(drawn, points, *samples(exact, 0.0), spp)
        torch.testing.assert_close(found, exact[0] + exact[1], rtol=1e-3, atol=1e-5)


def test_noise_goes_and_paint_stays():
    drawn, points = view()
    exact = reflected(points, 0.7)
    truth = exact[0] + exact[1]
    for spp in (4, 16):
        noisy = samples(exact, 0.4)
        raw = noisy[0].radiance + noisy[1].radiance
        found = filtered(drawn, points, *noisy, spp)
        errors = [float((image - truth).square().mean()) for image in (raw, found)]
        assert errors[1] < 0.2 * errors[0], (spp, errors)
        bright, dark = (points.albedo[:, 0] > 0.75), (points.albedo[:, 0] < 0.15)
        ratio = float(found[bright].mean() / found[dark].mean())
        assert abs(ratio / float(truth[bright].mean() / truth[dark].mean()) - 1) < 0.05


def test_gradients_reach_light_and_materials():
    drawn, points = view(24)
    albedo = points.albedo.detach().clone().requires_grad_()
    mine = SurfacePoints(**(vars(points) | {"albedo": albedo}))
    exact = reflected(points, 0.7)
    radiance = exact[0].clone().requires_grad_()
    diffuse = LightBySamples(radiance, 0.1 * exact[0])
    filtered(drawn, mine, diffuse, LightBySamples(exact[1], 0.0 * exact[1]), 16).sum().backward()
    assert radiance.grad is not None and albedo.grad is not None
    assert radiance.grad.isfinite().all() and float(radiance.grad.sum()) > 0
    assert albedo.grad.isfinite().all() and albedo.grad.any()


def test_black_surfaces_stay_finite():
    drawn, points = view(24)
    black = SurfacePoints(**(vars(points) | {"albedo": torch.zeros_like(points.albedo)}))
    found = filtered(drawn, black, *samples(reflected(black, 1e5), 0.5), 2)
    assert found.isfinite().all()
