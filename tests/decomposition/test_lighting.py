import math

import torch
from balls import ball, photos_of
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core.types import PointLight
from relight3d.core.views import ViewLight
from relight3d.decomposition import lighting
from relight3d.decomposition.occlusion import bake
from relight3d.shading import latlong
from relight3d.shading.prefilter import build_prefilter
from relight3d.shading.visibility import Sphere

LAMP = PointLight((0.0, 0.0, 4.0), (10.0, 10.0, 10.0))
OTHER = PointLight((0.0, 0.0, -4.0), (10.0, 10.0, 10.0))


def photos_under(*lights):
    return photos_of(ball(60), orbit(len(lights), 8, 8), get_rasterizer("cpu"), lights=lights)


def normals_of(splats):
    return torch.nn.functional.normalize(splats.means, dim=-1)


def test_names_are_those_of_the_photos():
    photos = photos_under(
        ViewLight("noon"), ViewLight("dusk"), ViewLight(None, points=(LAMP,)), ViewLight("noon")
    )
    assert lighting.environment_names(photos) == ["dusk", "noon"]


def test_lights_start_grey_and_come_back_with_the_gain():
    parameters = lighting.initial_lights(["a", "b.c"], 4, 0.7) | {"log_gain": torch.zeros(())}
    found = lighting.recovered(parameters, 2.0)
    assert set(found) == {"a", "b.c"}
    for light in found.values():
        torch.testing.assert_close(light.radiance_linear, torch.full((4, 8, 3), 1.4))


def test_point_lights_shadow_the_far_side():
    splats = ball(1500)
    photos = photos_under(ViewLight(None, points=(LAMP, OTHER)), ViewLight(), ViewLight())
    both, none, _ = lighting.trace_point_lights(
        photos, splats.gaussians(), normals_of(splats), get_rasterizer("cpu"), None
    )
    assert none == ()
    up, down = splats.means[:, 2] > 0.5, splats.means[:, 2] < -0.5
    for seen, lit, dark in ((both[0], up, down), (both[1], down, up)):
        assert float(seen[lit].mean()) > 0.9
        assert float(seen[dark].mean()) < 0.1


def test_a_wall_beyond_the_scope_does_not_stand_in_the_light():
    inner, shell = ball(1500), ball(600, radius=3.0)
    both = type(inner)(**{n: torch.cat([v, vars(shell)[n]]) for n, v in vars(inner).items()})
    photos = photos_under(ViewLight(None, points=(LAMP,)), ViewLight(), ViewLight())
    up = inner.means[:, 2] > 0.6
    shares = []
    for sphere in (None, Sphere(torch.zeros(3), 1.5)):
        seen = lighting.trace_point_lights(
            photos, both.gaussians(), normals_of(both), get_rasterizer("cpu"), sphere
        )[0][0]
        shares.append(float(seen[:1500][up].mean()))
    assert shares[0] < 0.1
    assert shares[1] > 0.85


def test_a_turned_sky_is_the_sky_of_the_turned_map(generator):
    splats = ball(60)
    occlusion = bake(
        splats.gaussians(), normals_of(splats), rasterize=get_rasterizer("cpu"), count=24,
        environment_height=8, shadow_map_px=16,
    )  # fmt: skip
    log_radiance = torch.randn(8, 16, 3, generator=generator)
    prefilter = build_prefilter(8)
    turn = 3 * 2 * math.pi / 16
    told = lighting.sky_of(prefilter, occlusion, log_radiance, turn)
    rolled = lighting.sky_of(prefilter, occlusion, latlong.rotate(log_radiance, turn), 0.0)
    torch.testing.assert_close(told.cells, rolled.cells, rtol=1e-4, atol=1e-5)
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=-1)
    roughness = torch.full((50, 1), 0.5)
    torch.testing.assert_close(
        told.prefiltered.specular(directions, roughness),
        rolled.prefiltered.specular(directions, roughness), rtol=1e-3, atol=1e-4,
    )  # fmt: skip
    still = lighting.sky_of(prefilter, occlusion, log_radiance, 0.0)
    assert float((still.cells - told.cells).abs().max()) > 0.5


def test_illumination_of_each_stage():
    splats = ball(60)
    normals = normals_of(splats)
    occlusion = bake(
        splats.gaussians(), normals, rasterize=get_rasterizer("cpu"), count=24,
        environment_height=8, shadow_map_px=16,
    )  # fmt: skip
    sky = lighting.sky_of(build_prefilter(8), occlusion, torch.zeros(8, 16, 3), 0.0)
    rows = torch.arange(60)
    lamp_only = lighting.illuminate(
        ViewLight(None, points=(LAMP,)), None, occlusion, rows, normals, None, [torch.ones(60, 1)]
    )
    assert lamp_only.environment is None and lamp_only.irradiance is None
    assert list(lamp_only.points) == [LAMP]
    open_sky = lighting.illuminate(ViewLight(), sky, None, rows, normals, None, [])
    assert open_sky.irradiance is not None and open_sky.occlusion_sh is None
    torch.testing.assert_close(
        open_sky.irradiance, torch.full((60, 3), math.pi), rtol=1e-3, atol=0.0
    )
    black = lighting.illuminate(ViewLight(), sky, occlusion, rows, normals, None, [])
    white = lighting.illuminate(ViewLight(), sky, occlusion, rows, normals, torch.ones(3), [])
    assert black.irradiance is not None and white.irradiance is not None
    assert float((white.irradiance - black.irradiance).min()) >= 0
    assert float(black.irradiance.mean()) < math.pi
    # Surroundings as bright as the sky hide that anything is occluded.
    torch.testing.assert_close(white.irradiance, torch.full((60, 3), math.pi), rtol=0.07, atol=0.0)


def test_a_gradient_counts_for_every_texel_of_its_neighbourhood():
    given = torch.zeros(8, 16, 3)
    given[2, 4, 1] = 1.0
    shared = given.clone()
    lighting.share_gradient(shared, 2)
    assert float(shared[2, 4, 1]) == 1.0 + 1.0 / 2 + 1.0 / 4
    assert float(shared[3, 5, 1]) == 1.0 / 2 + 1.0 / 4, "the pair of rows and columns"
    assert float(shared[0, 7, 1]) == 1.0 / 4, "the four of them"
    assert float(shared[4, 4, 1]) == 0.0
    assert float(shared[..., [0, 2]].abs().max()) == 0.0


def test_noise_of_texels_counts_alike_at_every_level():
    torch.manual_seed(1)
    noise = torch.randn(64, 128, 1)
    for level in (1, 2, 3):
        fewer, more = noise.clone(), noise.clone()
        lighting.share_gradient(fewer, level - 1)
        lighting.share_gradient(more, level)
        assert 0.8 < float((more - fewer).std()) < 1.2
    unchanged = noise.clone()
    lighting.share_gradient(unchanged, 0)
    assert torch.equal(unchanged, noise)
