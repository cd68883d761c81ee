import dataclasses
import math

import pytest
import torch
from balls import ball, discs
from scenes import orbit
from torch import Tensor

from relight3d.backends.registry import get_rasterizer
from relight3d.core.color import linear_from_srgb
from relight3d.core.errors import SurfaceError
from relight3d.core.types import Cameras, Splats
from relight3d.decomposition.proxy.build import build_proxy
from relight3d.decomposition.proxy.config import ProxyConfig
from relight3d.decomposition.proxy.topology import check
from relight3d.decomposition.scope import Scope
from relight3d.shading.visibility import Sphere

SMALL = ProxyConfig(resolution=64, coarse_resolution=16, triangles=8000, fit_silhouettes=False)
"""Silhouettes of a few large splats reach out of the ball; those of a fit are the photos'."""


def around(count: int = 12, px: int = 80, **orbit_options) -> list[Cameras]:
    """Cameras in a ring 20 degrees up, and in another that goes over the poles."""
    flat = orbit(count // 2, px, px, **orbit_options)
    turn = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    upright = dataclasses.replace(flat, world_to_camera=flat.world_to_camera @ turn)
    return [ring[i : i + 1] for ring in (flat, upright) for i in range(len(ring))]


def proxy_of(splats: Splats, cameras=None, scope=None, config=SMALL):
    return build_proxy(
        splats,
        cameras or around(),
        rasterize=get_rasterizer("auto"),
        scope=scope or Scope.everything(),
        config=config,
    )


def joined(*parts: Splats) -> Splats:
    names = [field.name for field in dataclasses.fields(Splats)]
    return Splats(*[torch.cat([getattr(part, name) for part in parts]) for name in names])


def moved(splats: Splats, by: tuple[float, float, float]) -> Splats:
    return dataclasses.replace(splats, means=splats.means + torch.tensor(by))


def area(vertices: Tensor, faces: Tensor) -> float:
    a, b, c = vertices[faces].unbind(1)
    return 0.5 * float(torch.linalg.cross(b - a, c - a).norm(dim=-1).sum())


@pytest.fixture(scope="module")
def of_ball():
    return proxy_of(ball(2000))


def test_a_ball_becomes_a_closed_sphere_where_it_is(of_ball):
    found = check(of_ball.mesh)
    assert (found.components, found.open_edges, found.pinched_edges, found.euler) == (1, 0, 0, 2)
    away = of_ball.mesh.vertices.norm(dim=-1) - 1.0
    assert away.abs().mean() < 0.5 * of_ball.voxel
    assert area(of_ball.mesh.vertices, of_ball.mesh.faces) == pytest.approx(4 * math.pi, rel=0.02)
    assert found.volume == pytest.approx(4 / 3 * math.pi, rel=0.03)  # positive: facing outward


def test_normals_are_unit_and_outward(of_ball):
    outward = torch.nn.functional.normalize(of_ball.mesh.vertices, dim=-1)
    assert (of_ball.normals * outward).sum(-1).mean() > 0.99
    torch.testing.assert_close(of_ball.normals.norm(dim=-1), torch.ones(len(outward)))


def test_radiance_is_the_linear_colour_of_the_splats(of_ball):
    z = of_ball.mesh.vertices[:, 2:]
    color = torch.tensor([0.6, 0.4, 0.3]) * torch.where(z > 0, 0.7, 1.0)
    clear = z[:, 0].abs() > 0.15
    torch.testing.assert_close(
        of_ball.radiance_linear[clear], linear_from_srgb(color[clear]), atol=0.02, rtol=0.0
    )
    assert (of_ball.views[clear] >= 1).all()


def test_silhouettes_make_the_surface_grow(of_ball):
    grown = proxy_of(ball(2000), config=dataclasses.replace(SMALL, fit_silhouettes=True))
    more = grown.mesh.vertices.norm(dim=-1).mean() - of_ball.mesh.vertices.norm(dim=-1).mean()
    assert 0.01 < float(more) < 2 * of_ball.voxel  # half of a disc's 0.06 at the most


def test_the_triangle_budget_is_kept(of_ball):
    assert 0.9 * SMALL.triangles < len(of_ball.mesh) <= SMALL.triangles + 20


def test_the_same_twice(of_ball):
    again = proxy_of(ball(2000))
    assert torch.equal(again.mesh.vertices, of_ball.mesh.vertices)
    assert torch.equal(again.radiance_linear, of_ball.radiance_linear)


def test_what_is_never_seen_is_closed_and_marked():
    above = orbit(8, 72, 72)  # 20 degrees up: the lower cap is hidden
    proxy = proxy_of(ball(2000), [above[i : i + 1] for i in range(8)])
    assert check(proxy.mesh).watertight
    z = proxy.mesh.vertices[:, 2]
    hidden = (proxy.views[:, 0] == 0) & (z < 0.9)  # the upper pole is seen too flatly
    assert hidden.any() and (z[hidden] < 0).all()
    assert (proxy.radiance_linear > 0).all()  # spread from the neighbours
    away = proxy.mesh.vertices.norm(dim=-1) - 1.0
    assert away.min() > -2 * proxy.voxel and away.max() < 0.2  # the hull's tip


def test_floaters_go_and_bodies_stay():
    mote = moved(ball(60, radius=0.04), (0.0, 0.9, 1.0))
    other = moved(ball(700, radius=0.5), (0.0, -1.0, 0.4))
    main = moved(ball(900, radius=0.6), (0.0, 0.5, 0.0))
    strict, lax = (dataclasses.replace(SMALL, floater_share=share) for share in (0.03, 0.0))
    everything, cameras = joined(main, other, mote), around(distance=6.0)
    two = proxy_of(everything, cameras, config=strict)
    assert check(two.mesh).components == 2
    assert not (two.mesh.vertices[:, 2] > 0.95).any()
    three = proxy_of(everything, cameras, config=lax)
    assert check(three.mesh).components == 3


def test_a_ball_over_a_floor_in_a_scope_is_one_slab_and_one_sphere():
    lines = torch.linspace(-2.5, 2.5, 40)
    floor = torch.cartesian_prod(lines, lines, torch.tensor([-1.0]))
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(floor)
    slab = discs(floor, up, 0.1, torch.full_like(floor, 0.5))
    resting = moved(ball(900, radius=0.6), (0.0, 0.0, -0.2))
    above = orbit(10, 96, 96, distance=5.0)
    scope = Scope(Sphere(torch.tensor([0.0, 0.0, -0.3]), 1.2))
    proxy = proxy_of(joined(slab, resting), [above[i : i + 1] for i in range(10)], scope)
    vertices, found = proxy.mesh.vertices, check(proxy.mesh)
    assert found.watertight and found.volume > 0
    assert ((vertices - torch.tensor([0.0, 0.0, -0.3])).norm(dim=-1) < 1.2 + 2 * proxy.voxel).all()
    seen = proxy.views[:, 0] > 4
    to_ball = ((vertices - torch.tensor([0.0, 0.0, -0.2])).norm(dim=-1) - 0.6).abs()
    to_floor = (vertices[:, 2] + 1.0).abs()
    assert torch.minimum(to_ball, to_floor)[seen].mean() < 0.5 * proxy.voxel
    assert (to_ball[seen] < proxy.voxel).any() and (to_floor[seen] < proxy.voxel).any()


def test_a_field_without_surface_is_refused():
    faint = dataclasses.replace(ball(300), opacity_logits=torch.full((300,), -6.0))
    with pytest.raises(SurfaceError, match="more than half opaque"):
        proxy_of(faint)


def test_a_scope_without_surface_is_refused():
    empty = Scope(Sphere(torch.zeros(3), 0.3))
    with pytest.raises(SurfaceError, match="in the middle that all cameras see"):
        proxy_of(ball(300), scope=empty)


def test_splats_far_behind_all_cameras_change_nothing(of_ball):
    stray = moved(ball(2, radius=0.1), (300.0, 0.0, 500.0))
    proxy = proxy_of(joined(ball(2000), stray))
    assert proxy.voxel == pytest.approx(of_ball.voxel, rel=0.02)
