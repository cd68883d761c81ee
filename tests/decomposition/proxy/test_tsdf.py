import pytest
import torch
from balls import ball
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.decomposition.proxy.silhouettes import silhouette_offset
from relight3d.decomposition.proxy.tsdf import Grid, Volume, fuse, seen_points, tight_grid
from relight3d.decomposition.proxy.views import SILHOUETTE_PX, draw_views, silhouette_distance
from relight3d.decomposition.scope import Scope
from relight3d.shading.visibility import Sphere

EVERYWHERE = Scope.everything()
TRUNCATION, VOXEL = 0.1, 0.025


@pytest.fixture(scope="module")
def views():
    ring = orbit(8, 96, 96)
    cameras = [ring[i : i + 1] for i in range(8)]
    return draw_views(
        ball(2000), cameras, rasterize=get_rasterizer("auto"), max_views=99, view_px=10_000
    )


def distance(points, views, scope=EVERYWHERE):
    return fuse(torch.tensor(points), torch.zeros(1, 3), views, scope, TRUNCATION, VOXEL)[:, 0]


def test_distance_is_that_to_the_sphere(views):
    radii = torch.tensor([0.96, 1.04])
    for direction in ([1.0, 0.0, 0.0], [0.0, 0.6, 0.8], [0.0, -0.8, -0.6]):
        inside, outside = distance((radii[:, None] * torch.tensor(direction)).tolist(), views)
        assert inside < 0 < outside
        crossing = 0.96 + 0.08 * inside / (inside - outside)
        assert (crossing - 1.0).abs() < VOXEL


def test_inside_is_inside_and_far_is_far(views):
    found = distance([[0.0, 0.0, 0.0], [0.0, 0.0, -0.8], [1.6, 0.0, 0.0]], views)
    torch.testing.assert_close(found[:2], torch.full((2,), -TRUNCATION))
    assert found[2] > 0.5 * TRUNCATION  # planes and rims tell the least it may be


def test_a_place_in_no_frame_is_outside(views):
    assert (distance([[0.0, 0.0, 40.0], [50.0, 0.0, 0.0]], views) == TRUNCATION).all()


def test_outside_of_the_scope_is_free(views):
    scope = Scope(Sphere(torch.tensor([0.5, 0.0, 0.0]), 0.2))
    found = distance([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.65, 0.0, 0.0]], views, scope)
    torch.testing.assert_close(found, torch.tensor([TRUNCATION, -TRUNCATION, -0.05]))


def test_blocks_that_a_view_cannot_see_are_skipped_without_a_difference(views):
    lines = torch.linspace(-1.2, 1.2, 9)
    blocks = torch.cartesian_prod(lines, lines, lines)
    within = (torch.cartesian_prod(*[torch.arange(2.0)] * 3) - 0.5) * VOXEL
    together = fuse(blocks, within, views, EVERYWHERE, TRUNCATION, VOXEL)
    points = (blocks[:, None] + within).flatten(0, 1)
    apart = fuse(points, torch.zeros(1, 3), views, EVERYWHERE, TRUNCATION, VOXEL)
    torch.testing.assert_close(together.flatten(), apart.flatten(), atol=1e-5, rtol=0.0)


def test_the_box_holds_the_seen_surface_tightly(views):
    grid = tight_grid(seen_points(views, EVERYWHERE), views, EVERYWHERE, 32)
    high = grid.origin + grid.voxel * torch.tensor(grid.shape)
    assert (grid.origin > -1.3).all() and (high < 1.3).all()
    assert (grid.origin[:2] < -1.0).all() and (high > 1.0).all()


@pytest.mark.parametrize("lost", [0.0, 0.06])
def test_rims_tell_how_much_of_a_ball_is_missing(views, lost):
    grid = Grid(torch.full((3,), -1.3), 0.0325, (80, 80, 80))
    away = grid.centers(grid.all_cells()).norm(dim=-1) - (1.0 - lost)
    volume = Volume(grid, away.clamp(-0.13, 0.13).view(grid.shape))
    found = silhouette_offset(volume, views)
    assert found == pytest.approx(min(lost + 0.02, 0.065), abs=0.02)  # alpha reaches a little out


def test_silhouette_distance_counts_pixels_from_the_rim():
    covered = torch.zeros(40, 40, dtype=torch.bool)
    covered[:, 20:] = True
    row = silhouette_distance(covered)[20]
    expected = (19.5 - torch.arange(40.0)).clamp(0.5 - SILHOUETTE_PX, SILHOUETTE_PX - 0.5)
    assert torch.equal(row, expected)


def test_views_are_chosen_evenly_and_reduced():
    ring = orbit(9, 64, 48)
    chosen = draw_views(
        ball(50), [ring[i : i + 1] for i in range(9)],
        rasterize=get_rasterizer("auto"), max_views=3, view_px=800,
    )  # fmt: skip
    assert [one.camera.width_px * one.camera.height_px <= 800 for one in chosen] == [True] * 3
    for one, index in zip(chosen, (0, 3, 6), strict=True):
        torch.testing.assert_close(one.camera.world_to_camera[0], ring.world_to_camera[index])
