"""Light between surfaces: against closed forms in boxes and on balls, and against quadrature."""

import dataclasses
from math import pi

import pytest
import torch
from sampling import mean_and_error

from relight3d.backends.tracing.registry import get_tracer
from relight3d.core.surface import Mesh, Proxy, SurfaceMaterials
from relight3d.core.types import DirectionalLight, PointLight
from relight3d.shading import latlong
from relight3d.shading.montecarlo.lights import EnvironmentSampler
from relight3d.shading.radiosity import (
    MOST_REFLECTED,
    SurfaceGlow,
    direct_irradiance,
    lamp_irradiance,
    leaving_radiance,
    link,
    whole_reflectance,
)
from tests.export.surfaces import box_mesh, sphere_mesh

UNIFORM = EnvironmentSampler(torch.full((8, 16, 3), 0.7))


def proxy_of(mesh: Mesh, voxel: float = 0.05) -> Proxy:
    zero = torch.zeros_like(mesh.vertices)
    return Proxy(mesh, mesh.vertex_normals(), zero, zero[:, :1], voxel)


def room(open_top: bool = False) -> Proxy:
    """A box seen from its inside."""
    mesh = box_mesh()
    faces = mesh.faces.flip(1)
    if open_top:
        faces = faces[mesh.vertices[faces][..., 2].amin(1) < mesh.vertices[:, 2].max() - 1e-4]
    return proxy_of(Mesh(mesh.vertices, faces))


def floor_and_lid() -> Proxy:
    """A square floor at z = 0, and above its middle a small square that looks up."""

    def square(side: float, height: float) -> torch.Tensor:
        return torch.tensor([[-side, -side, height], [side, -side, height],
                             [side, side, height], [-side, side, height]])  # fmt: skip

    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    vertices = torch.cat([square(3.0, 0.0), torch.zeros(1, 3), square(0.5, 1.0)])
    fan = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    return proxy_of(Mesh(vertices, torch.cat([fan, faces + 5])), voxel=1e-3)


def links_of(proxy: Proxy, seed: int = 0, **options):
    tracer = get_tracer(proxy.mesh)
    return link(proxy, tracer.hit, torch.Generator().manual_seed(seed), **options), tracer


def test_a_closed_room_sees_itself_alone():
    links, _ = links_of(room())
    assert not links.open_sky.any()
    assert len(links.row) == links.open_sky.numel()
    found = links.gather(torch.full_like(links.proxy.mesh.vertices, 2.5))
    torch.testing.assert_close(found, torch.full_like(found, 2.5 * pi))
    assert not links.sky(UNIFORM).any()


def test_gather_is_linear_and_differentiable():
    links, _ = links_of(room(), count=8)
    leaving = torch.rand_like(links.proxy.mesh.vertices).requires_grad_()
    links.gather(leaving).sum().backward()
    assert leaving.grad is not None
    total = 3 * len(leaving) * pi  # every vertex hands out pi times a mean
    assert float(leaving.grad.sum()) == pytest.approx(total, rel=1e-4)
    twice = links.gather(2.0 * leaving.detach())
    torch.testing.assert_close(twice, 2.0 * links.gather(leaving.detach()))


@pytest.mark.parametrize("light_samples", [1, 8, 96])
def test_a_ball_under_a_uniform_sky(light_samples):
    links, tracer = links_of(proxy_of(sphere_mesh(16), voxel=0.1))
    assert links.open_sky.all()
    torch.testing.assert_close(links.sky(UNIFORM), torch.full_like(links.normals, 0.7 * pi))
    found = direct_irradiance(
        links, UNIFORM, (), tracer.occluded, torch.Generator().manual_seed(1), light_samples
    )
    mean, error = mean_and_error(found)
    assert torch.all((mean - 0.7 * pi).abs() < 4 * error + 1e-3), (mean, error)
    assert float(found.std()) < 0.1


def test_direct_light_is_quadrature_behind_a_blocker():
    """A small bright sun half behind a lid, over a dim sky: as by looking everywhere."""
    proxy = floor_and_lid()
    sky = torch.full((16, 32, 3), 0.2)
    sky[3, 5], sky[1, :] = torch.tensor([90.0, 60.0, 30.0]), 1.5
    light = EnvironmentSampler(sky)
    links, tracer = links_of(proxy, vertices=torch.full((1500,), 4), count=16)
    v, u = (torch.arange(n) + 0.5 for n in (256, 512))
    grid = torch.stack(torch.meshgrid(v / 256, u / 512, indexing="ij")[::-1], -1)
    directions = latlong.directions_from_uv(grid).reshape(-1, 3)
    free = ~tracer.occluded(links.origins[:1].expand_as(directions).contiguous(), directions)
    areas = latlong.solid_angles(256, 512).flatten()
    weight = free * areas * directions[:, 2].clamp_min(0.0)
    expected = (weight[:, None] * light.radiance(directions)).sum(0)
    whole = (areas * directions[:, 2].clamp_min(0.0))[:, None] * light.radiance(directions)
    assert float(expected[0]) < 0.9 * float(whole.sum(0)[0]), "the lid hides some light"
    for light_samples in (2, 32):
        found = direct_irradiance(
            links, light, (), tracer.occluded, torch.Generator().manual_seed(1), light_samples
        )
        mean, error = mean_and_error(found)
        assert torch.all((mean - expected).abs() < 4 * error + 2e-3 * expected), (mean, expected)
    mean, error = mean_and_error(links.sky(light))
    assert torch.all((mean - expected).abs() < 4 * error + 2e-3 * expected)


def test_lamps_fall_off_and_cast_shadows():
    proxy = floor_and_lid()
    links, tracer = links_of(proxy)
    lamp = PointLight((2.0, 1.0, 3.0), (8.0, 4.0, 2.0))
    found = lamp_irradiance(links, (lamp,), tracer.occluded)
    toward = torch.tensor(lamp.position) - links.origins
    distance = toward.norm(dim=-1, keepdim=True)
    expected = torch.tensor(lamp.intensity_linear) * toward[:, 2:] / distance**3
    torch.testing.assert_close(found, expected)
    over = PointLight((0.0, 0.0, 2.0), (8.0, 4.0, 2.0))
    shadowed = lamp_irradiance(links, (over,), tracer.occluded)
    assert not shadowed[4].any(), "the middle of the floor lies under the lid"
    assert (shadowed[5:] > 0).all() and (shadowed[:4] > 0).all()
    between = lamp_irradiance(
        links, (dataclasses.replace(over, position=(0.0, 0.0, 0.5)),), tracer.occluded
    )
    assert float(between[4, 0]) == pytest.approx(8.0 / 0.25, rel=1e-2)
    assert not between[5:].any(), "the lid looks away"
    sun = DirectionalLight((0.0, 3.0, 4.0), (1.0, 2.0, 3.0))
    lit = lamp_irradiance(links, (sun, lamp), tracer.occluded) - found
    torch.testing.assert_close(lit, torch.tensor([0.8, 1.6, 2.4]).expand_as(lit))
    none = torch.Generator()
    assert torch.equal(direct_irradiance(links, None, (lamp,), tracer.occluded, none), found)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_a_closed_furnace_is_the_geometric_series(rho):
    links, _ = links_of(room(), count=16)
    direct = torch.full_like(links.normals, 2.0)
    reflectance = torch.full_like(direct, rho)
    for bounces in (1, 2, 5):
        series = 2.0 * sum(rho**k for k in range(bounces))
        found = leaving_radiance(links, direct, reflectance, bounces)
        torch.testing.assert_close(found, torch.full_like(found, rho * series / pi))
    endless = leaving_radiance(links, direct, reflectance, 80)
    torch.testing.assert_close(endless, torch.full_like(endless, rho * 2.0 / (1 - rho) / pi))


def test_an_open_room_is_never_brighter_than_its_sky():
    """And each bounce brings it nearer, where nearly everything is sent on."""
    links, _ = links_of(room(open_top=True), count=32)
    direct = links.sky(UNIFORM)
    reflectance = torch.full_like(direct, MOST_REFLECTED)
    before = torch.zeros_like(direct)
    for bounces in (1, 2, 4, 30):
        found = leaving_radiance(links, direct, reflectance, bounces)
        assert (found >= before).all()
        assert float(found.max()) <= 0.7 + 1e-5
        before = found
    assert float(before.mean()) > 0.5


def test_what_faces_away_sends_nothing():
    """A floor under a lid that looks up: the lid's underside is black, and hides the sky."""
    links, _ = links_of(floor_and_lid(), count=256)
    glowing = torch.ones_like(links.proxy.mesh.vertices)
    assert not links.gather(glowing)[4].any()
    assert 0.5 < float(links.open_sky[4].float().mean()) < 1.0


def test_the_whole_reflectance_of_materials():
    generator = torch.Generator().manual_seed(0)
    albedo, rough, metal = (torch.rand(500, n, generator=generator) for n in (3, 1, 1))
    share = whole_reflectance(SurfaceMaterials(albedo, rough, metal))
    assert 0.0 < float(share.min()) < float(share.max()) <= MOST_REFLECTED + 1e-6
    white = whole_reflectance(SurfaceMaterials(torch.ones(500, 3), rough, torch.ones(500, 1)))
    assert float(white.max()) == pytest.approx(MOST_REFLECTED)
    assert float(white.min()) > 0.35, "rough metals lose light that microfacets scatter twice"
    matt = whole_reflectance(SurfaceMaterials(albedo, torch.ones(500, 1), torch.zeros(500, 1)))
    assert float((matt - albedo).abs().max()) < 0.1
    one = torch.full((1, 1), 0.5, requires_grad=True)
    whole_reflectance(SurfaceMaterials(one.expand(1, 3), one, one)).sum().backward()
    assert one.grad is not None and one.grad.isfinite().all()


def test_glow_is_seen_on_fronts_alone():
    mesh = box_mesh()
    proxy, tracer = proxy_of(mesh), get_tracer(mesh)
    leaving = mesh.vertices.clone().requires_grad_()  # says where it was hit
    glow = SurfaceGlow(proxy, tracer.hit, leaving)
    origins = torch.tensor([[0.7, 0.4, 5.0], [0.7, 0.4, 5.0], [0.7, 0.4, 1.0]])
    down = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    found = glow(origins, down)
    torch.testing.assert_close(found[0], torch.tensor([0.7, 0.4, 3.0]))
    assert not found[1].any(), "nothing there"
    assert not found[2].any(), "the inside"
    found.sum().backward()
    assert leaving.grad is not None
    assert float(leaving.grad.sum()) == pytest.approx(3.0)
    assert glow(origins[:0], down[:0]).shape == (0, 3)


def test_some_vertices_are_as_all():
    every, _ = links_of(room(open_top=True), count=2048)
    which = torch.tensor([3, 40, 41, 100])
    some, _ = links_of(room(open_top=True), count=2048, vertices=which)
    assert torch.equal(some.origins, every.origins[which])
    assert torch.equal(some.normals, every.normals[which])
    leaving = torch.rand(every.normals.shape, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        some.gather(leaving), every.gather(leaving)[which], rtol=0.05, atol=0.02
    )
    torch.testing.assert_close(some.sky(UNIFORM), every.sky(UNIFORM)[which], rtol=0.05, atol=0.02)
    in_order, _ = links_of(room(open_top=True), count=16, vertices=torch.arange(len(every.normals)))
    again, _ = links_of(room(open_top=True), count=16)
    assert torch.equal(in_order.gather(leaving), again.gather(leaving))


def test_the_generator_decides():
    first, again, other = (links_of(room(), seed=seed, count=8)[0] for seed in (0, 0, 1))
    assert torch.equal(first.directions, again.directions)
    assert torch.equal(first.triangle, again.triangle)
    assert not torch.equal(first.directions, other.directions)
