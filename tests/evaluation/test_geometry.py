import math

import numpy as np
import pytest

from relight3d.core.errors import EvaluationError
from relight3d.evaluation import geometry
from relight3d.evaluation.geometry import (
    backproject,
    chamfer,
    depth_error,
    nearest_distances,
    subsample,
)

INTRINSICS = np.array([[20.0, 0.0, 4.0], [0.0, 25.0, 3.0], [0.0, 0.0, 1.0]])


def turned_pose() -> np.ndarray:
    """A camera at (1, 2, 3) that looks along +x, its y axis down."""
    rotation = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ [1.0, 2.0, 3.0]
    return pose


def test_a_pixel_by_hand():
    """Centre of column 7, row 1 at depth 2: x = 2 (7.5 - 4) / 20, y = 2 (1.5 - 3) / 25."""
    depth, where = np.zeros((6, 8)), np.zeros((6, 8), bool)
    depth[1, 7], where[1, 7] = 2.0, True
    found = backproject(depth, INTRINSICS, np.eye(4), where)
    np.testing.assert_allclose(found, [[0.35, -0.12, 2.0]])
    # The camera's x, y, z axes are the world's -y, -z, +x.
    found = backproject(depth, INTRINSICS, turned_pose(), where)
    np.testing.assert_allclose(found, [[1 + 2.0, 2 - 0.35, 3 + 0.12]])


def test_backprojection_undoes_projection():
    depth = 1.0 + np.random.default_rng(0).random((6, 8))
    world = backproject(depth, INTRINSICS, turned_pose(), np.ones((6, 8), bool))
    pose = turned_pose()
    projected = (world @ pose[:3, :3].T + pose[:3, 3]) @ INTRINSICS.T
    row, column = np.mgrid[:6, :8]
    np.testing.assert_allclose(projected[:, 2], depth.ravel())
    np.testing.assert_allclose(projected[:, 0] / projected[:, 2], column.ravel() + 0.5)
    np.testing.assert_allclose(projected[:, 1] / projected[:, 2], row.ravel() + 0.5)


def test_depth_error_by_hand():
    truth, where = np.array([[1.0, 2.0, 0.0]]), np.array([[True, True, False]])
    error = depth_error([(np.array([[1.5, 2.0, np.nan]]), truth, where)])
    assert error.absolute == pytest.approx(0.25)
    assert error.relative == pytest.approx(0.25)
    scale = (1.5 + 4.0) / (2.25 + 4.0)
    assert error.scale == pytest.approx(scale)
    assert error.scaled_absolute == pytest.approx((1.5 * scale - 1 + 2 - 2 * scale) / 2)
    squared = ((1.5 * scale - 1) ** 2 + (2 - 2 * scale) ** 2) / 2
    assert error.scaled_squared == pytest.approx(squared)


def test_one_scale_serves_all_views_of_a_scene():
    truths = [np.full((2, 2), 1.0), np.full((3, 2), 4.0)]
    half = [(t / 2, t, np.ones(t.shape, bool)) for t in truths]
    error = depth_error(half)
    assert error.scale == pytest.approx(2.0)
    assert error.scaled_absolute == pytest.approx(0.0, abs=1e-12)
    assert error.absolute == pytest.approx((4 * 0.5 + 6 * 2.0) / 10)
    mixed = [half[0], (truths[1] * 2, truths[1], np.ones((3, 2), bool))]
    assert depth_error(mixed).scaled_absolute > 0.1


@pytest.mark.parametrize(
    ("predicted", "truth", "problem"),
    [([np.nan], [1.0], "NaN"), ([1.0], [np.inf], "NaN or infinite"), ([1.0], [0.0], "positive")],
)
def test_unusable_depth_is_refused(predicted, truth, problem):
    with pytest.raises(EvaluationError, match=problem):
        depth_error([(np.array([predicted]), np.array([truth]), np.ones((1, 1), bool))])
    with pytest.raises(EvaluationError, match="No view"):
        depth_error([(np.array([predicted]), np.array([truth]), np.zeros((1, 1), bool))])


def test_chamfer_by_hand():
    """From a: distances 1 and 0, mean 0.5. From b: 1, 0 and 4, mean 5 / 3."""
    a = np.array([[0.0, 0, 0], [0, 0, 5]])
    b = np.array([[1.0, 0, 0], [0, 0, 5], [0, 4, 5]])
    assert chamfer(a, b) == pytest.approx((1 / 2 + 5 / 3) / 2)
    assert chamfer(b, a) == pytest.approx(chamfer(a, b))
    assert chamfer(a, a[::-1].copy()) == 0.0


def test_blocks_do_not_change_distances(monkeypatch):
    random = np.random.default_rng(1)
    a, b = random.random((50, 3)), random.random((70, 3)).astype(np.float32)
    whole = nearest_distances(a, b)
    brute = np.linalg.norm(a[:, None] - b[None], axis=-1).min(1)
    np.testing.assert_allclose(whole, brute, rtol=1e-12)
    monkeypatch.setattr(geometry, "_DISTANCES_AT_A_TIME", 200)
    np.testing.assert_allclose(nearest_distances(a, b), whole, rtol=1e-14)


def test_small_distances_far_from_the_origin_are_kept():
    a = np.array([[1000.0, 1000.0, 1000.0]])
    assert chamfer(a, a + np.array([[1e-6, 0, 0]])) == pytest.approx(1e-6, rel=1e-5)


def test_clouds_without_points_or_with_nan_are_refused():
    a = np.zeros((2, 3))
    with pytest.raises(EvaluationError, match="0 points"):
        chamfer(a, np.zeros((0, 3)))
    with pytest.raises(EvaluationError, match="NaN"):
        chamfer(a, np.full((1, 3), math.nan))


def test_subsampling_repeats_itself_and_keeps_order():
    points = np.arange(300.0).reshape(100, 3)
    few = subsample(points, 10)
    np.testing.assert_array_equal(few, subsample(points, 10))
    assert len(few) == 10 and (np.diff(few[:, 0]) > 0).all()
    assert not np.array_equal(few, subsample(points, 10, seed=1))
    np.testing.assert_array_equal(subsample(points, 100), points)
