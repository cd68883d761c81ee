import math

import numpy as np
import pytest
import torch

from relight3d.core.errors import SurfaceError
from relight3d.decomposition.proxy.extract import extract, without_floaters
from relight3d.decomposition.proxy.topology import check
from relight3d.decomposition.proxy.tsdf import Grid, Volume

CUBE = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
SIDES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)  # fmt: skip


def volume_of(distance, count=40, half=1.0) -> Volume:
    grid = Grid(torch.full((3,), -half), 2 * half / count, (count, count, count))
    return Volume(grid, distance(grid.centers(grid.all_cells())).view(grid.shape))


def ball_volume(radius=0.6) -> Volume:
    return volume_of(lambda points: points.norm(dim=-1) - radius)


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
