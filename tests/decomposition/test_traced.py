"""A ball of splats under traced light: shadows, energy, noise, floor, and what is refused."""

import dataclasses
import math

import pytest
import torch
from balls import ball
from scenes import orbit
from traced_ball import BallTracer, ball_proxy

from relight3d.backends.registry import get_rasterizer
from relight3d.backends.tracing.interface import Hits
from relight3d.backends.tracing.registry import get_tracer
from relight3d.core.errors import ConfigurationError
from relight3d.core.planes import pixel_rays
from relight3d.core.surface import Mesh, Proxy, SurfaceMaterials
from relight3d.core.types import (
    Asset,
    DirectionalLight,
    EnvironmentLight,
    Materials,
    PointLight,
    Splats,
)
from relight3d.decomposition import traced_surface
from relight3d.decomposition.relight import Relighter
from relight3d.decomposition.trace_options import TraceOptions, required_proxy
from relight3d.decomposition.traced import TracedRelighter, floor_under
from relight3d.shading.lobes import soft_light
from relight3d.shading.radiosity import SurfaceGlow, link

PROXY = ball_proxy()
WHITE = EnvironmentLight(torch.ones(8, 16, 3))
SUN = DirectionalLight((0.9, 0.4, 0.5), (2.0, 2.0, 2.0))


def asset(count=1200, albedo=0.5, roughness=0.8, metallic=0.0) -> Asset:
    splats = ball(count)
    one = torch.ones(count, 1)
    normals = torch.nn.functional.normalize(splats.means, dim=-1)
    materials = Materials(
        albedo * one.expand(-1, 3), roughness * one, metallic * one, normals, 0.7 * one, 0.02 * one
    )
    return Asset(splats, materials, {}, proxy=PROXY)


def two_balls() -> tuple[Asset, Proxy]:
    """The asset and its proxy, and both again beside them, almost touching."""
    one, shift = asset(500), torch.tensor([0.0, 2.1, 0.0])
    splats, materials, surface = one.splats, one.materials, PROXY.materials
    assert materials is not None and surface is not None
    mesh = Mesh(
        torch.cat([PROXY.mesh.vertices, PROXY.mesh.vertices + shift]),
        torch.cat([PROXY.mesh.faces, PROXY.mesh.faces + len(PROXY.mesh.vertices)]),
    )
    proxy = Proxy(
        mesh,
        *(twice(x) for x in (PROXY.normals, PROXY.radiance_linear, PROXY.views)),
        voxel=PROXY.voxel,
        materials=SurfaceMaterials(*(twice(x) for x in vars(surface).values())),
    )
    both = Splats(*(twice(x) for x in vars(splats).values()))
    both = dataclasses.replace(both, means=torch.cat([splats.means, splats.means + shift]))
    found = Materials(*(twice(x) for x in vars(materials).values()))
    return dataclasses.replace(one, splats=both, materials=found, proxy=proxy), proxy


def twice(values: torch.Tensor) -> torch.Tensor:
    return torch.cat([values, values])


@pytest.fixture(scope="module")
def rasterize():
    return get_rasterizer("cpu")


def traced(of: Asset, rasterize, environment=None, lights=None, **options):
    chosen = dataclasses.replace(TraceOptions(spp=16), **options)
    return TracedRelighter(
        of, rasterize, BallTracer(PROXY), environment, options=chosen, **(lights or {})
    )


@pytest.fixture
def no_mesh_normals(monkeypatch):
    """Shading normals of the splats alone, as fast shading has them."""
    monkeypatch.setattr(traced_surface, "MESH_SHARE", 0.0)


def test_normals_are_those_that_light_fell_on(rasterize):
    """Splats and mesh of a ball err apart: what both say is nearer to the ball than either."""
    torch.manual_seed(3)
    given, cameras = asset(), orbit(1, 32, 32)
    assert given.materials is not None
    astray = given.materials.normals + 0.2 * torch.randn_like(given.materials.normals)
    astray = torch.nn.functional.normalize(astray, dim=-1)
    given = dataclasses.replace(
        given, materials=dataclasses.replace(given.materials, normals=astray)
    )
    fast = Relighter(given, rasterize, directional=(SUN,)).render(cameras)
    slow = traced(given, rasterize, lights={"directional": (SUN,)}).render(cameras)
    center, rays = cameras.centers[0], pixel_rays(cameras)
    points = center + rays * fast["depth"]
    solid = (fast["alpha"][..., 0] > 0.99) & (points.norm(dim=-1) < 1.1)
    truth = torch.nn.functional.normalize(points, dim=-1)[solid]
    errors = [
        1.0 - (torch.nn.functional.normalize(maps["normal"][solid], dim=-1) * truth).sum(-1).mean()
        for maps in (fast, slow)
    ]
    assert int(solid.sum()) > 100
    assert float(errors[1]) < 0.7 * float(errors[0])


@pytest.mark.usefixtures("no_mesh_normals")
def test_maps_are_those_of_fast_shading(rasterize):
    cameras = orbit(2, 24, 24)
    fast = Relighter(asset(), rasterize, directional=(SUN,)).render(cameras, 1)
    slow = traced(asset(), rasterize, lights={"directional": (SUN,)}).render(cameras, 1)
    assert set(slow) == set(fast) - {name for name in fast if name.startswith("po")}
    for name in ("albedo", "depth", "alpha", "roughness"):
        assert torch.equal(slow[name], fast[name]), name
    ways = [torch.nn.functional.normalize(maps["normal"], dim=-1) for maps in (slow, fast)]
    covered = fast["alpha"][..., 0] > 0.01
    torch.testing.assert_close(ways[0][covered], ways[1][covered])


@pytest.mark.usefixtures("no_mesh_normals")
def test_suns_look_as_with_shadow_maps(rasterize):
    """Away from the terminator, where shadow maps are soft."""
    cameras = orbit(1, 24, 24)
    fast = Relighter(asset(), rasterize, directional=(SUN,)).render(cameras)["rgb"]
    slow = traced(asset(), rasterize, lights={"directional": (SUN,)}).render(cameras)["rgb"]
    assert float(slow.max()) > 0.15
    assert float((slow - fast).abs().mean()) < 0.03 * float(fast.mean())


def test_white_furnace(rasterize):
    """A rough white ball under a uniform sky all but vanishes in it; see `test_relight`."""
    of, sky = asset(albedo=1.0, roughness=1.0), EnvironmentLight(torch.full((8, 16, 3), 0.7))
    maps = traced(of, rasterize, sky, spp=128).render(orbit(1, 24, 24))
    solid = maps["alpha"][..., 0] > 0.99
    found = (maps["rgb"] / maps["alpha"])[solid] / 0.7
    assert 0.95 < float(found.mean()) < 1.01
    assert 0.9 < float(found.min()) < float(found.max()) < 1.03


def test_lights_add(rasterize):
    cameras, lamp = orbit(1, 20, 20), PointLight((4.0, 1.0, 2.0), (9.0, 6.0, 3.0))
    sun, point = {"directional": (SUN,)}, {"points": (lamp,)}
    both = traced(asset(), rasterize, lights=sun | point).render(cameras)["rgb"]
    apart = [
        traced(asset(), rasterize, lights=some).render(cameras)["rgb"] for some in (sun, point)
    ]
    torch.testing.assert_close(both, apart[0] + apart[1])


def test_a_soft_light_far_from_narrow_is_about_its_sun(rasterize):
    soft = soft_light(SUN.direction, math.radians(5.0), SUN.irradiance_linear)
    cameras, rough = orbit(1, 20, 20), asset(roughness=1.0)
    lobe = traced(rough, rasterize, lights={"lobes": (soft,)}, spp=64).render(cameras)["rgb"]
    sun = traced(rough, rasterize, lights={"directional": (SUN,)}).render(cameras)["rgb"]
    assert float(lobe.mean()) == pytest.approx(float(sun.mean()), rel=0.03)


def test_denoising_brings_few_samples_near_to_many(rasterize):
    cameras = orbit(1, 48, 48)
    sky = torch.full((8, 16, 3), 0.1)
    sky[2, 1:3] = 8.0
    light = EnvironmentLight(sky)

    def picture(**options):
        return traced(asset(), rasterize, light, **options).render(cameras)["rgb"]

    truth = picture(spp=256, denoise=False)
    noisy, clean = picture(spp=4, denoise=False), picture(spp=4)
    errors = [float((found - truth).square().mean()) for found in (noisy, clean)]
    assert errors[0] > 4 * errors[1]


def test_the_same_seed_gives_the_same_picture(rasterize):
    one = traced(asset(300), rasterize, WHITE, spp=2, denoise=False)
    other = traced(asset(300), rasterize, WHITE, spp=2, denoise=False, seed=1)
    first, again, else_ = (r.render(orbit(1, 16, 16))["rgb"] for r in (one, one, other))
    assert torch.equal(first, again)
    assert not torch.equal(first, else_)


def test_memory_is_bounded_without_changing_what_is_drawn(rasterize, monkeypatch):
    lights = {"directional": (SUN,)}
    whole = traced(
        asset(300), rasterize, WHITE, lights=lights, spp=64, floor="lowest", denoise=False
    )
    cameras = orbit(1, 16, 16)
    expected = whole.render(cameras)["rgb"]
    monkeypatch.setattr("relight3d.decomposition.traced.RAYS_AT_ONCE", 1000)
    found = whole.render(cameras)["rgb"]
    assert not torch.equal(found, expected)  # other rays, the same light
    assert float(found.mean()) == pytest.approx(float(expected.mean()), rel=0.01)


class Cave:
    """A ball's surroundings that all rays end in, on the front of the nearest triangles."""

    def __init__(self):
        self._facing = -PROXY.mesh.face_normals()

    def occluded(self, origins, directions, far=None):
        return torch.ones(len(origins), dtype=torch.bool)

    def hit(self, origins, directions, far=None):
        triangle = (directions @ self._facing.T).argmax(-1)
        return Hits(torch.ones(len(origins)), triangle, torch.full((len(origins), 2), 1 / 3))


def test_what_hides_the_sky_is_black_without_bounces_and_sends_light_with_them(rasterize):
    def picture(bounces, links=None):
        options = TraceOptions(16, bounces=bounces, denoise=False)
        return TracedRelighter(
            asset(400), rasterize, Cave(), WHITE, options=options, links=links
        ).render(orbit(1, 16, 16))["rgb"]

    sky = link(PROXY, BallTracer(PROXY).hit, torch.Generator().manual_seed(0))
    lit = [picture(bounces, sky) for bounces in (0, 1)]
    assert float(lit[0].abs().max()) == 0.0
    assert float(lit[1].max()) > 0.05
    assert float(picture(3).abs().max()) == 0.0, "no sky, no light, however often it bounces"


def test_bounces_converge_and_only_add(rasterize):
    """Two balls side by side light each other a little, again and again."""
    body, proxy = two_balls()
    tracer, camera = get_tracer(proxy.mesh), orbit(1, 24, 24, distance=7.0)
    options = [TraceOptions(64, bounces=bounces, denoise=False) for bounces in (0, 1, 2, 8)]
    links = link(proxy, tracer.hit, torch.Generator().manual_seed(0))
    pictures = [
        TracedRelighter(body, rasterize, tracer, WHITE, options=some, links=links).render(camera)
        for some in options
    ]
    means = [float(maps["rgb"].mean()) for maps in pictures]
    assert means[0] < means[1] < means[2] < means[3]
    assert means[1] - means[0] > 4 * (means[2] - means[1]) > 4 * (means[3] - means[2])


def test_links_traced_once_serve_another_light(rasterize):
    body, proxy = two_balls()
    tracer, camera = get_tracer(proxy.mesh), orbit(1, 16, 16, distance=7.0)
    first = TracedRelighter(body, rasterize, tracer, WHITE)
    sun = {"directional": (SUN,), "options": TraceOptions(8)}
    lent = TracedRelighter(body, rasterize, tracer, links=first.links, **sun)
    alone = TracedRelighter(body, rasterize, tracer, **sun)
    assert lent.links is first.links
    assert torch.equal(lent.render(camera)["rgb"], alone.render(camera)["rgb"])
    without = TracedRelighter(body, rasterize, tracer, WHITE, options=TraceOptions(bounces=0))
    assert without.links is None


def test_albedo_gain_counts_for_bounced_light_too(rasterize):
    body, proxy = two_balls()
    tracer = get_tracer(proxy.mesh)
    plain = TracedRelighter(body, rasterize, tracer, WHITE)
    darker = plain.with_gain((0.0, 1.0, 1.0))
    before, after = plain.bounce, darker.bounce
    assert before is not None and after is not None
    assert isinstance(before, SurfaceGlow) and isinstance(after, SurfaceGlow)
    assert torch.equal(after.leaving[:, 1:], before.leaving[:, 1:])
    assert float(after.leaving[:, 0].mean()) < 0.3 * float(before.leaving[:, 0].mean())
    assert plain.bounce is before, "the first is as it was, and its light is not asked again"


def test_the_floor_lies_under_the_ball(rasterize):
    cameras = orbit(1, 48, 48, focal_px=40.0)
    lights = {"directional": (DirectionalLight((0.0, 1.0, 0.6), (2.0, 2.0, 2.0)),)}
    plain = traced(asset(), rasterize, lights=lights, bounces=0).render(cameras)
    maps = traced(asset(), rasterize, lights=lights, floor="lowest", bounces=0).render(cameras)
    assert torch.equal(maps["alpha"], plain["alpha"])
    assert torch.equal(maps["rgb"], plain["rgb"])  # a shadow is black: only coverage grows
    added = maps["rgb_alpha"] - maps["alpha"]
    assert float(added.min()) >= 0.0
    assert float(maps["rgb_alpha"].max()) <= 1.0
    outside = plain["alpha"] < 0.01
    assert 20 < int((added[outside] > 0.9).sum()) < 0.5 * int(outside.sum())
    assert "rgb_alpha" not in plain


def test_the_floor_is_at_the_lowest_point_or_where_it_is_told():
    low = float(PROXY.mesh.vertices[:, 2].min())
    assert floor_under(PROXY, "lowest").height == low
    assert floor_under(PROXY, -3.5).height == -3.5
    assert floor_under(PROXY, 0.0).radius == pytest.approx(math.sqrt(3.0), rel=0.02)


def test_exposure_and_albedo_gain(rasterize):
    cameras, lights = orbit(1, 16, 16), {"directional": (SUN,)}
    one = traced(asset(), rasterize, lights=lights)
    bright = traced(dataclasses.replace(asset(), exposure=2.0), rasterize, lights=lights)
    picture = one.render(cameras)["rgb"]
    torch.testing.assert_close(bright.render(cameras)["rgb"], 2.0 * picture)
    gained = one.with_gain((0.5, 1.0, 1.0)).render(cameras)["rgb"]
    assert float(gained[..., 0].sum()) < 0.7 * float(picture[..., 0].sum())
    assert torch.equal(gained[..., 1], picture[..., 1])


def test_a_background_out_of_scope_keeps_its_look(rasterize):
    body = asset(600)
    assert body.materials is not None
    progress = torch.where(body.splats.means[:, 2:] > 0, 0.0, 0.7)
    scene = dataclasses.replace(
        body, materials=dataclasses.replace(body.materials, progress=progress)
    )
    dark = PointLight((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    maps = traced(scene, rasterize, lights={"points": (dark,)}).render(orbit(1, 24, 24))
    upper, lower = maps["rgb"][:8].mean(), maps["rgb"][-5:].mean()
    assert float(upper) > 0.03
    assert float(lower) < 0.1 * float(upper)


@pytest.mark.parametrize(
    "light",
    [
        {"environment": EnvironmentLight(torch.zeros(4, 8, 3))},
        {"lights": {"directional": (DirectionalLight((0.0, 0.0, 1.0), (1e5, 1e5, 1e5)),)}},
        {"lights": {"points": (PointLight((0.0, 0.0, 0.0), (50.0, 50.0, 50.0)),)}},
        {"lights": {"points": (PointLight((0.0, 0.0, 1.0), (50.0, 50.0, 50.0)),)}},
    ],
    ids=["black sky", "fierce sun", "lamp inside", "lamp on the surface"],
)
@pytest.mark.parametrize("roughness", [0.0, 1.0])
def test_extreme_lights_give_finite_pictures(rasterize, light, roughness):
    of = asset(300, roughness=roughness, metallic=1.0)
    maps = traced(of, rasterize, **light, floor="lowest", spp=2).render(orbit(1, 16, 16))
    assert all(bool(values.isfinite().all()) for values in maps.values())
    assert float(maps["rgb"].min()) >= 0.0


def test_a_lamp_inside_leaves_the_outside_dark(rasterize):
    lamp = PointLight((0.0, 0.0, 0.0), (50.0, 50.0, 50.0))
    maps = traced(asset(), rasterize, lights={"points": (lamp,)}).render(orbit(1, 16, 16))
    assert float(maps["rgb"].max()) == 0.0


def test_what_cannot_be_traced_is_refused(rasterize):
    whole = asset(20)
    with pytest.raises(ConfigurationError, match="no materials"):
        traced(dataclasses.replace(whole, materials=None), rasterize, WHITE)
    with pytest.raises(ConfigurationError, match="needs an environment"):
        traced(whole, rasterize)
    with pytest.raises(ConfigurationError, match="decompose RUN --overwrite"):
        required_proxy(dataclasses.replace(whole, proxy=None))
    bare = dataclasses.replace(
        PROXY, mesh=dataclasses.replace(PROXY.mesh, faces=PROXY.mesh.faces[:0])
    )
    with pytest.raises(ConfigurationError, match="proxy mesh"):
        traced(dataclasses.replace(whole, proxy=bare), rasterize, WHITE)


@pytest.mark.parametrize("spp", [-1, 0, 1, 513])
def test_samples_out_of_range_are_refused(spp):
    with pytest.raises(ConfigurationError, match="from 2 to 512"):
        TraceOptions(spp=spp)


@pytest.mark.parametrize("wrong", [{"bounces": -1}, {"seed": -1}])
def test_negative_options_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="must be >= 0"):
        TraceOptions(**wrong)


def test_an_empty_view_is_empty(rasterize):
    """The camera looks away from everything, and down on nothing."""
    splats = asset(50).splats
    far = Splats(**(vars(splats) | {"means": splats.means + 1e3}))
    maps = traced(dataclasses.replace(asset(50), splats=far), rasterize, WHITE).render(
        orbit(1, 8, 8)
    )
    assert not maps["rgb"].any() and not maps["alpha"].any()
