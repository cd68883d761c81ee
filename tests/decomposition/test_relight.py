import dataclasses
import math

import pytest
import torch
from balls import ball
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core.color import linear_from_srgb
from relight3d.core.errors import ConfigurationError
from relight3d.core.types import (
    Asset,
    DirectionalLight,
    EnvironmentLight,
    Materials,
    PointLight,
    Splats,
)
from relight3d.decomposition.relight import Relighter
from relight3d.decomposition.splat_colors import display_colors
from relight3d.shading.lobes import soft_light
from relight3d.shading.shadow_map import look_along

WHITE = EnvironmentLight(torch.ones(8, 16, 3))
LAMP = PointLight((6.0, 0.0, 3.0), (40.0, 40.0, 40.0))


def material_ball(count=1200, albedo=0.5, roughness=0.8, metallic=0.0, progress=0.7) -> Asset:
    splats = ball(count)
    materials = Materials(
        albedo_linear=torch.full((count, 3), albedo),
        roughness=torch.full((count, 1), roughness),
        metallic=torch.full((count, 1), metallic),
        normals=torch.nn.functional.normalize(splats.means, dim=-1),
        progress=torch.full((count, 1), progress),
        double_sided=torch.full((count, 1), 0.02),
    )
    return Asset(splats, materials, {})


def sun(azimuth_column: int) -> EnvironmentLight:
    """One bright texel row in a dim sky: column 0 is +x, columns run clockwise."""
    sky = torch.full((8, 16, 3), 0.05)
    sky[3, azimuth_column] = 30.0
    return EnvironmentLight(sky)


@pytest.fixture(scope="module")
def rasterize():
    return get_rasterizer("cpu")


def relighter(asset, rasterize, environment=None, light_samples=24, **options):
    return Relighter(asset, rasterize, environment, light_samples=light_samples, **options)


@pytest.fixture(scope="module")
def baked(rasterize):
    """The occlusion of `material_ball()`, for the lights of these tests."""
    return relighter(material_ball(), rasterize, WHITE).occlusion


def test_an_asset_without_materials_is_refused(rasterize):
    with pytest.raises(ConfigurationError, match="no materials"):
        relighter(Asset(ball(20), None, {}), rasterize, WHITE)


def test_no_light_is_refused(rasterize):
    with pytest.raises(ConfigurationError, match="environment, or at least one point light"):
        relighter(material_ball(20), rasterize)


def test_maps_are_what_the_asset_says(rasterize, baked):
    cameras = orbit(2, 24, 24)
    maps = relighter(material_ball(), rasterize, WHITE, occlusion=baked).render(cameras, 1)
    solid = maps["alpha"][..., 0] > 0.99
    assert int(solid.sum()) > 50
    straight = {name: (value / maps["alpha"])[solid] for name, value in maps.items()}
    for name, value in (("albedo", 0.5), ("roughness", 0.8), ("metallic", 0.0), ("progress", 0.7)):
        torch.testing.assert_close(straight[name], torch.full_like(straight[name], value))
    toward = cameras.centers[1] / cameras.centers[1].norm()
    assert float((straight["normal"] @ toward).min()) > 0
    middle = maps["depth"][12, 12]
    assert float(middle) == pytest.approx(3.0, abs=0.05)
    assert float(maps["depth"].max()) < 4.1
    assert float(maps["depth"][maps["alpha"] == 0].abs().sum()) == 0


def test_white_furnace_through_the_whole_chain(rasterize):
    """A rough white ball under a uniform sky vanishes in it, but for traced self-shadowing."""
    asset = material_ball(1500, albedo=1.0, roughness=1.0)
    sky = EnvironmentLight(torch.full((8, 16, 3), 0.7))
    maps = relighter(asset, rasterize, sky, light_samples=64).render(orbit(1, 24, 24))
    solid = maps["alpha"][..., 0] > 0.99
    found = (maps["rgb"] / maps["alpha"])[solid] / 0.7
    assert 0.95 < float(found.mean()) < 1.01
    assert 0.93 < float(found.min()) < float(found.max()) < 1.03


def test_albedo_gain_multiplies_albedo(rasterize, baked):
    cameras, gain = orbit(1, 20, 20), (0.5, 1.0, 3.0)
    plain = relighter(material_ball(), rasterize, WHITE, occlusion=baked)
    gained = relighter(material_ball(), rasterize, WHITE, occlusion=baked, albedo_gain=gain)
    torch.testing.assert_close(gained.materials.albedo_linear[0], torch.tensor([0.25, 0.5, 1.0]))
    ratio = gained.render(cameras)["rgb"].sum((0, 1)) / plain.render(cameras)["rgb"].sum((0, 1))
    assert ratio[0] < 0.65
    assert float(ratio[1]) == pytest.approx(1.0, rel=1e-5)
    assert ratio[2] > 1.7
    shared = plain.with_gain(gain)
    assert shared.seen is plain.seen
    assert torch.equal(shared.render(cameras)["rgb"], gained.render(cameras)["rgb"])
    assert float(plain.materials.albedo_linear[0, 0]) == 0.5


def test_exposure_multiplies_radiance(rasterize, baked):
    asset = material_ball()
    bright = dataclasses.replace(asset, exposure=2.0)
    pictures = [
        relighter(a, rasterize, WHITE, occlusion=baked).render(orbit(1, 16, 16))
        for a in (asset, bright)
    ]
    torch.testing.assert_close(pictures[1]["rgb"], 2.0 * pictures[0]["rgb"])
    assert torch.equal(pictures[1]["albedo"], pictures[0]["albedo"])


def test_turning_the_light_is_turning_the_map(rasterize, baked):
    cameras = orbit(1, 20, 20)
    quarter = 0.5 * math.pi
    told = relighter(material_ball(), rasterize, sun(0), rotation_rad=quarter, occlusion=baked)
    moved = relighter(material_ball(), rasterize, sun(12), occlusion=baked)  # clockwise: +y is 3/4
    torch.testing.assert_close(
        told.render(cameras)["rgb"], moved.render(cameras)["rgb"], rtol=1e-3, atol=1e-4
    )


def test_turning_light_and_camera_turns_the_picture(rasterize, baked):
    """A round ball looks the same when sun and camera go round it together."""
    centers = torch.tensor([[4.0, 0.0, 1.0], [0.0, 4.0, 1.0]])
    cameras = look_along(centers, torch.nn.functional.normalize(-centers, dim=-1), 0.4, 24)
    first = relighter(material_ball(), rasterize, sun(1), occlusion=baked)
    turned = relighter(
        material_ball(), rasterize, sun(1), rotation_rad=0.5 * math.pi, occlusion=baked
    )
    pictures = first.render(cameras, 0)["rgb"], turned.render(cameras, 1)["rgb"]
    torch.testing.assert_close(pictures[0], pictures[1], rtol=0.0, atol=0.06)
    unturned = first.render(cameras, 1)["rgb"]
    difference = (pictures[0] - unturned).abs().mean()
    assert float(difference) > 5 * float((pictures[0] - pictures[1]).abs().mean())


def test_the_sunny_side_is_bright(rasterize, baked):
    """The irradiance of single splats follows the sun."""
    for column, axis, sign in ((0, 0, 1), (8, 0, -1), (12, 1, 1), (4, 1, -1)):
        one = relighter(material_ball(), rasterize, sun(column), occlusion=baked)
        light = one.illumination(one.materials.normals)
        assert light.irradiance is not None
        along = sign * one.materials.normals[:, axis]
        lit, dark = light.irradiance[along > 0.8].mean(), light.irradiance[along < -0.8].mean()
        assert float(lit) > 4 * float(dark)


def test_point_light_alone(rasterize):
    one = relighter(material_ball(), rasterize, points=(LAMP,))
    maps = one.render(orbit(1, 20, 20))
    assert "irradiance" not in maps
    assert float(maps["rgb"].max()) > 0.05
    twice = dataclasses.replace(LAMP, intensity_linear=(80.0, 80.0, 80.0))
    brighter = relighter(material_ball(), rasterize, points=(twice,)).render(orbit(1, 20, 20))
    torch.testing.assert_close(brighter["rgb"], 2 * maps["rgb"])


@pytest.mark.parametrize("height", [1, 2, 3])
def test_a_map_of_few_texels_lights_like_a_finer_one(rasterize, height):
    """One white texel is as good a furnace as many."""
    asset, cameras = material_ball(300), orbit(1, 16, 16)
    tiny = EnvironmentLight(torch.ones(height, 2 * height, 3))
    shown = [
        float(relighter(asset, rasterize, sky, light_samples=200).render(cameras)["rgb"].mean())
        for sky in (tiny, WHITE)
    ]
    assert shown[0] == pytest.approx(shown[1], rel=0.02)


def test_a_background_out_of_scope_casts_no_shadows(rasterize):
    """Progress is exactly 0 there: a wall around the object is not in the new light's way."""
    asset, shell = material_ball(600), material_ball(600, progress=0.0)
    assert asset.materials is not None and shell.materials is not None
    far = dataclasses.replace(
        shell.splats, means=6 * shell.splats.means, log_scales=shell.splats.log_scales + math.log(6)
    )
    splats = Splats(**{n: torch.cat([v, vars(far)[n]]) for n, v in vars(asset.splats).items()})
    materials = Materials(
        **{n: torch.cat([v, vars(shell.materials)[n]]) for n, v in vars(asset.materials).items()}
    )
    alone = relighter(asset, rasterize, WHITE, points=(LAMP,))
    walled = relighter(Asset(splats, materials, {}), rasterize, WHITE, points=(LAMP,))
    torch.testing.assert_close(walled.seen[:600], alone.seen)
    torch.testing.assert_close(walled.point_visibility[0][:600], alone.point_visibility[0])
    lights = [one.illumination(one.materials.normals) for one in (alone, walled)]
    assert lights[0].surroundings is not None and lights[1].surroundings is not None
    torch.testing.assert_close(lights[1].surroundings, lights[0].surroundings)


def test_splat_colours_have_one_per_direction(rasterize, baked):
    one = relighter(material_ball(), rasterize, WHITE, points=(LAMP,), occlusion=baked)
    directions = torch.nn.functional.normalize(torch.randn(7, 5, 3), dim=-1)
    found = display_colors(one)(slice(10, 17), directions)
    assert found.shape == (7, 5, 3)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert not found.requires_grad


@pytest.mark.parametrize("light", ["sky", "lamp"])
def test_splat_colours_draw_the_relit_picture(rasterize, baked, light):
    """For a rough ball, colours shaded per splat and shading per pixel agree."""
    cameras = orbit(1, 24, 24)
    sky, points = (sun(15), ()) if light == "sky" else (None, (LAMP,))
    asset = material_ball(roughness=1.0)
    one = relighter(asset, rasterize, sky, points=points, occlusion=baked)
    splats = one.asset.splats
    directions = torch.nn.functional.normalize(splats.means - cameras.centers[0], dim=-1)
    colors = display_colors(one)(slice(None), directions[:, None])[:, 0]
    drawn = rasterize(splats.gaussians(), linear_from_srgb(colors), cameras)
    maps = one.render(cameras)
    solid = maps["alpha"][..., 0] > 0.99
    expected = maps["rgb"][solid].clamp_max(1.0)
    assert float(expected.max()) > 0.1
    assert float((drawn.features[0][solid] - expected).abs().mean()) < 0.03 * float(expected.max())


def test_a_far_lamp_is_a_sun(rasterize):
    """As far away as its rays are parallel, with shadows from the same side."""
    toward = torch.nn.functional.normalize(torch.tensor([1.0, 0.2, 0.7]), dim=0)
    x, y, z = (200.0 * toward).tolist()
    lamp = PointLight((x, y, z), (4e4, 4e4, 4e4))
    parallel = DirectionalLight((2 * x, 2 * y, 2 * z), (1.0, 1.0, 1.0))
    asset, cameras = material_ball(), orbit(2, 24, 24)
    by_lamp = relighter(asset, rasterize, points=(lamp,)).render(cameras, 0)
    by_sun = relighter(asset, rasterize, directional=(parallel,)).render(cameras, 0)
    assert float(by_sun["rgb"].max()) > 0.1
    torch.testing.assert_close(by_sun["rgb"], by_lamp["rgb"], rtol=0.02, atol=0.01)


def test_suns_are_not_taken_for_lamps(rasterize):
    lamp, parallel = LAMP, DirectionalLight((0.0, 0.0, 1.0), (1.0, 0.5, 0.25))
    asset, cameras = material_ball(), orbit(1, 20, 20)
    both = relighter(asset, rasterize, points=(lamp,), directional=(parallel,)).render(cameras)
    apart = [
        relighter(asset, rasterize, points=(lamp,)).render(cameras),
        relighter(asset, rasterize, directional=(parallel,)).render(cameras),
    ]
    torch.testing.assert_close(both["rgb"], apart[0]["rgb"] + apart[1]["rgb"])


def test_a_narrow_soft_light_is_a_sun(rasterize, baked):
    toward = (0.8, 0.1, 0.6)
    soft = soft_light(toward, math.radians(6.0), (2.0, 2.0, 2.0))
    sharp = DirectionalLight(toward, (2.0, 2.0, 2.0))
    asset, cameras = material_ball(roughness=1.0), orbit(1, 24, 24)
    one = relighter(asset, rasterize, lobes=(soft,), bounce=False, occlusion=baked)
    other = relighter(asset, rasterize, directional=(sharp,))
    means = [float(lit.render(cameras)["rgb"].mean()) for lit in (one, other)]
    assert means[0] == pytest.approx(means[1], rel=0.08)


def test_a_soft_light_joins_the_sky(rasterize, baked):
    lobe = soft_light((0.0, 0.0, 1.0), 1.0, (2.0, 1.0, 0.0))
    cameras = orbit(1, 20, 20)
    sky = relighter(material_ball(), rasterize, sun(3), occlusion=baked, rotation_rad=1.0)
    both = relighter(
        material_ball(), rasterize, sun(3), occlusion=baked, rotation_rad=1.0, lobes=(lobe,)
    )
    gained = (both.render(cameras)["rgb"] - sky.render(cameras)["rgb"]).sum((0, 1))
    assert float(gained[0]) > 1.5 * float(gained[1]) > 0
    assert abs(float(gained[2])) < 0.1 * float(gained[0])
