import math

import numpy as np
import pytest

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.metrics import angles_deg, decibels


def test_decibels_by_hand():
    assert decibels(0.01) == pytest.approx(20.0)
    assert decibels(1.0) == 0.0
    assert decibels(0.0) == math.inf


def test_angles_of_known_vectors():
    normals = np.array([[[0, 0, 2.0], [1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, -1]]])
    truth = np.array([[[0, 0, 1.0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]])
    np.testing.assert_allclose(angles_deg(normals, truth), [[0, 90, 45, 90, 180]], atol=1e-12)


def test_equal_directions_have_no_angle_at_all():
    normals = np.random.default_rng(0).normal(size=(9, 9, 3)).astype(np.float32)
    assert angles_deg(normals, normals * np.float32(2)).max() == 0.0
    tiny = normals + np.array([1e-4, 0, 0], np.float32)
    assert 0 < angles_deg(tiny, normals).max() < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_angle_lets_nan_pass(bad):
    picture = np.full((16, 16, 3), 0.5)
    broken = picture.copy()
    broken[3, 4, 1] = bad
    with pytest.raises(EvaluationError, match=r"1 of .*NaN"):
        angles_deg(broken, picture)
    with pytest.raises(EvaluationError, match=r"1 of .*NaN"):
        angles_deg(picture, broken)
