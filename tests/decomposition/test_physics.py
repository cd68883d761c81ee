import math

import pytest
import torch
from balls import ball
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core.planes import facing
from relight3d.core.types import Materials, PointLight
from relight3d.decomposition.gbuffer import draw
from relight3d.decomposition.physics import Illumination, channels_of, shade_drawn
from relight3d.shading.prefilter import build_prefilter


def plain(splats, albedo=0.5, roughness=1.0, metallic=0.0) -> Materials:
    count = len(splats)
    return Materials(
        albedo_linear=torch.full((count, 3), albedo),
        roughness=torch.full((count, 1), roughness),
        metallic=torch.full((count, 1), metallic),
        normals=torch.nn.functional.normalize(splats.means, dim=-1),
        progress=torch.ones(count, 1),
        double_sided=torch.ones(count, 1),
    )


def shaded(light: Illumination, materials=None, diffuse=True, size=20):
    splats, cameras = ball(400), orbit(1, size, size)
    found = plain(splats) if materials is None else materials
    center = cameras.centers[0]
    normals = facing(found.normals, splats.means, center)
    channels = channels_of(found, normals, splats.means, center, light)
    drawn = draw(get_rasterizer("cpu"), splats.gaussians(), channels, cameras)
    return drawn, shade_drawn(drawn, light, diffuse=diffuse)


def point(distance: float, share: float = 1.0) -> Illumination:
    """A lamp on the camera's side of the ball."""
    center = orbit(1, 8, 8).centers[0]
    place = tuple((center / center.norm() * distance).tolist())
    return Illumination(
        points=(PointLight(place, (50.0, 20.0, 10.0)),),
        point_visibility=(torch.full((400, 1), share),),
    )


def test_point_lights_fade_with_the_square_of_the_distance():
    far, twice = shaded(point(200.0))[1], shaded(point(400.0))[1]
    bright = far[:, 0] > 0.5 * far[:, 0].max()
    torch.testing.assert_close(4 * twice[bright], far[bright], rtol=0.02, atol=0.0)
    torch.testing.assert_close(far[:, 0], 2.5 * far[:, 1], rtol=1e-4, atol=1e-9)


def test_point_light_on_a_lambertian_face():
    """Irradiance I / d^2 seen face on: (1 - F) albedo / pi of it, and a little more reflected."""
    _, found = shaded(point(101.0))
    expected = 50.0 / 100.0**2 * 0.5 / math.pi
    assert float(found[:, 0].max()) == pytest.approx(expected, rel=0.08)


def test_visibility_dims_point_lights():
    whole, half, none = (shaded(point(100.0, share))[1] for share in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half, 0.5 * whole)
    assert float(none.abs().max()) == 0.0


def environment(radiance: float = 0.8, **options) -> Illumination:
    prefiltered = build_prefilter(8)(torch.full((8, 16, 3), radiance))
    return Illumination(prefiltered, torch.full((400, 3), math.pi * radiance), **options)


def test_lights_add_up():
    lamp, sky = point(50.0), environment()
    both = Illumination(
        sky.environment, sky.irradiance, points=lamp.points, point_visibility=lamp.point_visibility
    )
    total = shaded(lamp)[1] + shaded(sky)[1]
    torch.testing.assert_close(shaded(both)[1], total)


@pytest.mark.parametrize(("roughness", "tolerance"), [(1.0, 0.04), (0.6, 0.04)])
def test_white_furnace(roughness, tolerance):
    found = shaded(environment(), plain(ball(400), 1.0, roughness))[1]
    facing_us = found[found.shape[0] // 3 : 2 * found.shape[0] // 3]
    torch.testing.assert_close(facing_us, torch.full_like(facing_us, 0.8), rtol=tolerance, atol=0.0)
    assert float(found.max()) < 0.8 * 1.06


def test_specular_alone_leaves_out_the_diffuse_part():
    dark = shaded(environment(), plain(ball(400), albedo=0.0))[1]
    alone = shaded(environment(), plain(ball(400), albedo=0.9), diffuse=False)[1]
    torch.testing.assert_close(alone, dark)
    assert float(alone.min()) > 0


def test_occluded_reflections_show_the_surroundings():
    metal = plain(ball(400), 1.0, 0.3, 1.0)
    blocked = torch.zeros(400, 9)
    free = shaded(environment(), metal)[1]
    black = shaded(environment(occlusion_sh=blocked), metal)[1]
    glow = torch.tensor([0.8, 0.4, 0.0])
    glowing = shaded(environment(occlusion_sh=blocked, surroundings=glow), metal)[1]
    assert float(black.max()) < 1e-6
    torch.testing.assert_close(glowing, free / 0.8 * glow, rtol=1e-3, atol=1e-6)


def test_gradients_reach_materials_and_light():
    splats = ball(400)
    leaves = {n: v.clone().requires_grad_() for n, v in vars(plain(splats, 0.5, 0.5, 0.5)).items()}
    sky = torch.full((8, 16, 3), 0.5, requires_grad=True)
    prefiltered = build_prefilter(8)(sky)
    light = Illumination(prefiltered, prefiltered.irradiance(leaves["normals"]))
    shaded(light, Materials(**leaves))[1].square().sum().backward()
    for trust in ("progress", "double_sided"):
        leaves.pop(trust)
    for name, leaf in (leaves | {"sky": sky}).items():
        assert leaf.grad is not None and float(leaf.grad.abs().sum()) > 0, name
        assert torch.isfinite(leaf.grad).all(), name
