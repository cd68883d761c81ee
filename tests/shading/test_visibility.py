import pytest
import torch

from relight3d.core.errors import ConfigurationError
from relight3d.core.types import Gaussians
from relight3d.shading.directions import spherical_fibonacci
from relight3d.shading.visibility import (
    Sphere,
    bounding_sphere,
    point_light_visibility,
    trace_visibility,
)
from tests.shading.discs import ball, discs, join, raycast, square

UP = torch.tensor([[0.0, 0.0, 1.0]])


def trace(gaussians, points, normals, directions, **options):
    options = {"resolution_px": 48, "rasterize": raycast} | options
    return trace_visibility(gaussians, points, normals, directions, **options)


def test_lone_ball_shadows_only_its_back():
    gaussians = ball(400)
    points = normals = spherical_fibonacci(150)
    directions = spherical_fibonacci(12)
    seen = trace(gaussians, points, normals, directions)
    cosine = normals @ directions.t()
    assert seen[cosine > 0.15].min() > 0.95
    assert seen[cosine < -0.55].max() < 0.05


def test_plate_above_plate_casts_the_right_shadow():
    """A 1 x 1 plate 1 above a 3 x 3 floor, light from straight above and from 45 degrees."""
    gaussians = join(square(1.5, 0.0, 24), square(0.5, 1.0, 10))
    x = torch.linspace(-1.4, 1.4, 57)
    floor = torch.stack([x, torch.zeros_like(x), torch.zeros_like(x)], -1)
    directions = torch.nn.functional.normalize(
        torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0]]), dim=-1
    )
    seen = trace(
        gaussians, floor, UP.expand(57, 3), directions, resolution_px=96, bias=0.05,
        sphere=Sphere(torch.zeros(3), 2.3),
    )  # fmt: skip
    reach = 0.5 + 0.085  # the outermost discs reach over the plate's edge
    for column, center in ((0, 0.0), (1, -1.0)):
        inside = (x - center).abs() < reach - 0.12
        outside = (x - center).abs() > reach + 0.12
        assert seen[inside, column].max() < 0.05
        assert seen[outside, column].min() > 0.95


def test_two_balls_shadow_each_other():
    gaussians = join(ball(300), ball(300, (4.0, 0.0, 0.0)))
    points = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    directions = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.3, 0.0, 1.0]])
    seen = trace(gaussians, points, points.clone(), directions / directions.norm(dim=-1)[:, None])
    assert seen[0, 0] < 0.05  # its neighbour stands in front
    assert seen[1, 1] > 0.95  # free
    assert seen[0, 2] > 0.8 and seen[1, 2] < 0.05  # above and below its own horizon


def test_sign_of_normals_does_not_matter():
    gaussians, points, directions = ball(200), spherical_fibonacci(60), spherical_fibonacci(6)
    outward, inward = (trace(gaussians, points, n, directions) for n in (points, -points))
    torch.testing.assert_close(outward, inward)


def test_transparent_occluders_let_light_through():
    def half_transparent(gaussians, features, cameras):
        drawn = raycast(gaussians, features, cameras)
        return type(drawn)(0.5 * drawn.features, 0.5 * drawn.alpha, drawn.visible)

    gaussians = square(1.0, 1.0)
    seen = trace(
        gaussians, torch.zeros(1, 3), None, UP, rasterize=half_transparent,
        sphere=Sphere(torch.zeros(3), 2.0),
    )  # fmt: skip
    assert seen.item() == pytest.approx(0.5)


def test_points_outside_the_maps_are_lit():
    far = torch.tensor([[50.0, 0.0, 0.0]])
    assert trace(ball(), far, None, UP).item() == 1.0


def test_batches_do_not_matter():
    gaussians, points, directions = ball(100), spherical_fibonacci(20), spherical_fibonacci(5)
    first = trace(gaussians, points, points, directions, batch=2)
    torch.testing.assert_close(first, trace(gaussians, points, points, directions, batch=8))


def test_point_light_outside():
    gaussians = ball(400)
    points = normals = spherical_fibonacci(150)
    position = torch.tensor([2.0, 1.0, 2.0])
    seen = point_light_visibility(
        gaussians, points, normals, tuple(position.tolist()), rasterize=raycast, resolution_px=64
    )[:, 0]
    toward = torch.nn.functional.normalize(position - points, dim=-1)
    cosine = (toward * normals).sum(-1)
    assert seen[cosine > 0.2].min() > 0.9
    assert seen[cosine < -0.5].max() < 0.1


@pytest.mark.parametrize("position", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.5)])
def test_point_light_inside_uses_all_six_faces(position):
    """Six plates around the light; every one is lit on the inside, and shadows what is beyond."""
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    normals = -axes + 1e-4  # not exactly -z
    normals = torch.nn.functional.normalize(normals, dim=-1)
    gaussians = discs(axes.clone(), normals, 0.5)
    seen = point_light_visibility(
        gaussians, torch.cat([0.9 * axes, 1.5 * axes]), None, position,
        rasterize=raycast, resolution_px=64, bias=0.05,
    )[:, 0]  # fmt: skip
    assert seen[:6].min() > 0.95
    assert seen[6:].max() < 0.05


def test_bounding_sphere_ignores_a_stray_splat():
    gaussians = ball(2000)
    means = gaussians.means.clone()
    means[0] = torch.tensor([500.0, 0.0, 0.0])
    stray = Gaussians(means, gaussians.quats_wxyz, gaussians.scales, gaussians.opacities)
    assert bounding_sphere(stray).radius < 1.6
    assert bounding_sphere(gaussians).radius > 1.0


def test_no_splats_are_refused():
    nothing = Gaussians(torch.zeros(0, 3), torch.zeros(0, 4), torch.zeros(0, 3), torch.zeros(0))
    with pytest.raises(ConfigurationError, match="at least one splat"):
        bounding_sphere(nothing)


def test_with_the_real_rasterizer():
    """The CPU kernel, where it is built: overlapping translucent discs instead of hard ones."""
    from relight3d.backends.cpu import library
    from relight3d.backends.cpu.rasterize import rasterize

    if not library.available_isas():
        pytest.skip("the CPU kernel is not built")
    count = 3000
    normals = spherical_fibonacci(count)
    gaussians = discs(normals, normals, 1.5 / count**0.5)
    directions = spherical_fibonacci(16)
    seen = trace(gaussians, normals, normals, directions, rasterize=rasterize, resolution_px=96)
    cosine = normals @ directions.t()
    assert seen[cosine > 0.15].min() > 0.9
    assert seen[cosine < -0.4].max() < 0.1
    assert seen[cosine > 0.2].mean() > 0.999
