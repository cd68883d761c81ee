"""Where rays start behind the pixels: on the mesh, unless the splats lie far before it."""

import dataclasses

import pytest
import torch
from balls import ball
from scenes import orbit
from traced_ball import ball_proxy

from relight3d.backends.registry import get_rasterizer
from relight3d.backends.tracing.registry import get_tracer
from relight3d.core.types import Asset, Materials
from relight3d.decomposition.gbuffer import Drawn
from relight3d.decomposition.lit_view import Subject
from relight3d.decomposition.physics import Illumination
from relight3d.decomposition.traced_surface import (
    LIFT_FREE,
    LIFT_SNAPPED,
    SNAP_VOXELS,
    surface_points,
)
from relight3d.shading.montecarlo.estimator import SurfacePoints

PROXY = ball_proxy(count=1500)
VOXEL, SAG = PROXY.voxel, 0.005
"""How far the flat triangles lie below the ball."""


def materials(count: int = 800) -> Materials:
    one = torch.ones(count, 1)
    normals = torch.nn.functional.normalize(ball(count).means, dim=-1)
    return Materials(0.5 * one.expand(-1, 3), 0.4 * one, 0.1 * one, normals, one, 0.02 * one)


def seen(radius: float, of: Materials | None = None, px: int = 32) -> tuple[Drawn, torch.Tensor]:
    """A ball of splats of that radius, from the first camera, and where that is."""
    asset = Asset(ball(800, radius=radius), of or materials(), {}, proxy=PROXY)
    subject, cameras = Subject.of(asset, get_rasterizer("cpu")), orbit(1, px, px)
    drawn = subject.draw(cameras, subject.normals(cameras), Illumination())
    return drawn, cameras.centers[0]


def points_of(radius: float, **options) -> tuple[SurfacePoints, torch.Tensor]:
    """The points, and which of them lie well inside the outline, seen almost from above."""
    drawn, center = seen(radius, **options)
    points = surface_points(drawn, center, PROXY, get_tracer(PROXY.mesh))
    return points, (drawn.coverage[:, 0] > 0.99) & ((points.view * _out(points)).sum(-1) > 0.7)


def _out(points: SurfacePoints) -> torch.Tensor:
    return torch.nn.functional.normalize(points.position, dim=-1)


def heights(points: SurfacePoints, solid: torch.Tensor) -> torch.Tensor:
    """Of the places above the ball of radius 1, without the lift."""
    return points.position[solid].norm(dim=-1) - 1.0


@pytest.mark.parametrize("radius", [0.8, 1.0, 1.0 + 0.4 * SNAP_VOXELS * VOXEL])
def test_points_lie_on_the_mesh_whatever_the_splats_say(radius):
    points, solid = points_of(radius)
    found = heights(points, solid)
    assert int(solid.sum()) > 50
    assert LIFT_SNAPPED * VOXEL - SAG < float(found.min())
    assert float(found.max()) < LIFT_SNAPPED * VOXEL + SAG
    agree = (points.geometric_normal * _out(points)).sum(-1)[solid]
    assert float(agree.min()) > 0.995


def test_points_far_before_the_mesh_stay_with_their_splats():
    radius = 1.0 + 2.5 * SNAP_VOXELS * VOXEL
    points, solid = points_of(radius)
    free = heights(points, solid) - (radius - 1.0)
    assert float(free.median()) == pytest.approx(LIFT_FREE * VOXEL, abs=0.03)
    assert float(free.abs().max()) < 0.2
    assert float((points.geometric_normal * _out(points)).sum(-1)[solid].min()) > 0.9


def test_normals_lie_on_the_viewers_side_of_a_mesh_seen_from_behind():
    proxy = dataclasses.replace(PROXY, normals=-PROXY.normals)
    drawn, center = seen(1.0)
    points = surface_points(drawn, center, proxy, get_tracer(proxy.mesh))
    assert float((points.geometric_normal * points.view).sum(-1).min()) > -1e-3


def test_materials_of_the_splats_arrive_and_so_do_gradients():
    given = materials()
    leaves = {
        name: getattr(given, name).clone().requires_grad_()
        for name in ("albedo_linear", "roughness", "metallic", "normals")
    }
    points, _ = points_of(1.0, of=dataclasses.replace(given, **leaves))
    torch.testing.assert_close(points.albedo, torch.full_like(points.albedo, 0.5))
    torch.testing.assert_close(points.roughness, torch.full_like(points.roughness, 0.4))
    torch.testing.assert_close(points.normal.norm(dim=-1), torch.ones(len(points)))
    fixed = (points.position, points.geometric_normal, points.view)
    assert not any(values.requires_grad for values in fixed)
    weights = torch.tensor([1.0, 2.0, 3.0])
    total = points.albedo.sum() + points.roughness.sum() + points.metallic.sum()
    (total + (points.normal * weights).sum()).backward()
    for name, leaf in leaves.items():
        assert leaf.grad is not None and leaf.grad.isfinite().all() and leaf.grad.any(), name


def test_some_rows_are_those_of_all():
    drawn, center = seen(1.0)
    tracer, rows = get_tracer(PROXY.mesh), torch.tensor([7, 3, 100])
    every = surface_points(drawn, center, PROXY, tracer)
    some = surface_points(drawn, center, PROXY, tracer, rows)
    for name, values in vars(every).items():
        torch.testing.assert_close(vars(some)[name], values[rows])
    assert len(surface_points(drawn, center, PROXY, tracer, rows[:0])) == 0
