import math

import numpy as np
import pytest
import torch

from relight3d.core.errors import SurfaceError
from relight3d.core.surface import Mesh
from relight3d.decomposition.proxy.extract import (
    check,
    extract,
    mended,
    pieces_with,
    without_floaters,
)
from relight3d.decomposition.proxy.tsdf import Grid, Volume

CUBE = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
SIDES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)  # fmt: skip


def volume_of(distance, count=40, half=1.0) -> Volume:
    grid = Grid(torch.full((3,), -half), 2 * half / count, (count,) * 3)
    return Volume(grid, distance(grid.centers(grid.all_cells())).view(grid.shape))


def ball_volume(radius=0.6) -> Volume:
    return volume_of(lambda points: points.norm(dim=-1) - radius)


def mesh_of(vertices, faces) -> Mesh:
    return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces))


def options(**changed):
    return {"floater_share": 0.01, "smoothing": 4, "triangles": 4000} | changed


def test_a_ball_is_found_where_it_is():
    mesh = extract(ball_volume(), **options())
    torch.testing.assert_close(
        mesh.vertices.norm(dim=-1), torch.full((len(mesh.vertices),), 0.6), atol=0.005, rtol=0.0
    )
    found = check(mesh)
    assert found.watertight and found.euler == 2
    assert found.volume == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.01)


def test_the_level_moves_the_surface():
    mesh = extract(ball_volume(), level=0.1, **options())
    assert float(mesh.vertices.norm(dim=-1).mean()) == pytest.approx(0.7, abs=0.005)


def test_the_walls_of_cavities_are_removed():
    shell = volume_of(lambda points: (points.norm(dim=-1) - 0.6).abs() - 0.15)
    mesh = extract(shell, **options())
    assert check(mesh).components == 1
    assert float(mesh.vertices.norm(dim=-1).mean()) == pytest.approx(0.75, abs=0.01)


def test_a_body_that_fills_the_box_is_closed_at_its_walls():
    found = check(extract(volume_of(lambda points: points[:, 2]), **options(smoothing=0)))
    assert found.watertight and found.volume == pytest.approx(4.0, rel=0.1)


def test_nothing_inside_is_refused():
    with pytest.raises(SurfaceError, match="no voxel lies inside"):
        extract(volume_of(lambda points: points.norm(dim=-1) + 0.1), **options())


def test_small_pieces_are_judged_by_their_share():
    both = np.concatenate([CUBE, 0.1 * CUBE + 3.0])
    faces = np.concatenate([SIDES, SIDES + 8])
    assert len(without_floaters(both, faces, 0.02)[1]) == 12
    assert len(without_floaters(both, faces, 0.005)[1]) == 24


def test_check_counts_what_is_wrong():
    assert check(mesh_of(CUBE, SIDES)).watertight
    assert check(mesh_of(CUBE, SIDES)).volume == pytest.approx(1.0)
    assert check(mesh_of(CUBE, SIDES[1:])).open_edges == 3
    turned = SIDES.copy()
    turned[0] = turned[0, ::-1]
    assert check(mesh_of(CUBE, turned)).pinched_edges == 3
    assert not check(mesh_of(CUBE, turned)).watertight


def test_holes_flaps_and_degenerate_triangles_are_mended():
    flap = np.array([[0, 3, 7], [5, 5, 6]])  # a wall within the cube, and no triangle at all
    for broken in (SIDES[1:], SIDES[2:], np.concatenate([SIDES, flap])):
        found = check(mesh_of(*mended(CUBE, broken)))
        assert found.watertight and found.euler == 2
        assert found.volume > 0.5


def test_a_whole_mesh_is_left_as_it_is():
    vertices, faces = mended(CUBE, SIDES)
    assert np.array_equal(vertices, CUBE) and np.array_equal(faces, SIDES)


def test_pieces_that_nothing_marks_are_left_out():
    mesh = mesh_of(np.concatenate([CUBE, CUBE + 3.0]), np.concatenate([SIDES, SIDES + 8]))
    marked = torch.zeros(16, dtype=torch.bool)
    marked[13] = True
    kept, rows = pieces_with(mesh, marked)
    assert torch.equal(rows, torch.arange(8, 16))
    assert torch.equal(kept.vertices, mesh.vertices[8:]) and check(kept).watertight
