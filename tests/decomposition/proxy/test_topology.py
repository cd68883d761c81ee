import numpy as np
import pytest
import torch

from relight3d.core.surface import Mesh
from relight3d.decomposition.proxy.topology import check, mended, pieces_with

CUBE = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
SIDES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)  # fmt: skip


def mesh_of(vertices, faces) -> Mesh:
    return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces))


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
