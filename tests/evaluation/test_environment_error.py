import math

import numpy as np
import pytest
import torch

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.environment_error import environment_error
from relight3d.shading import latlong


def random_map(height: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, 2 * height, 3)) ** 4


def turned(environment: np.ndarray, degrees: float) -> np.ndarray:
    return latlong.rotate(torch.from_numpy(environment), math.radians(degrees)).numpy()


@pytest.mark.parametrize("degrees", [0.0, 45.0, -90.0, 180.0, 5.625])
def test_a_turned_and_scaled_copy_is_found(degrees):
    recovered = random_map()
    truth = turned(recovered, degrees) * [0.5, 2.0, 3.0]
    score = environment_error(recovered, truth, height=32)
    assert score.per_channel.relative_rmse == pytest.approx(0.0, abs=1e-9)
    assert score.per_channel.rotation_deg == pytest.approx(degrees)
    assert score.per_channel.scale == pytest.approx((0.5, 2.0, 3.0))
    assert score.common.relative_rmse > 0.1
    common = environment_error(recovered, turned(recovered, degrees) * 4.0, height=32).common
    assert common.relative_rmse == pytest.approx(0.0, abs=1e-9)
    assert (common.rotation_deg, common.scale) == (pytest.approx(degrees), pytest.approx((4,) * 3))
    if degrees:
        assert score.per_channel_unturned.relative_rmse > 0.1
    assert score.per_channel_unturned.rotation_deg == score.common_unturned.rotation_deg == 0.0


def test_the_sign_of_the_turn_by_one_bright_texel():
    """The true sun is 90 degrees counter-clockwise of the recovered one: +y instead of +x."""
    directions = latlong.texel_directions(32, 64).numpy()
    ours, true = np.zeros((32, 64, 3)), np.zeros((32, 64, 3))
    ours[np.unravel_index((directions @ [1.0, 0.02, 0.1]).argmax(), (32, 64))] = 1.0
    true[np.unravel_index((directions @ [-0.02, 1.0, 0.1]).argmax(), (32, 64))] = 1.0
    assert environment_error(ours, true, height=32).common.rotation_deg == pytest.approx(90.0)
    assert environment_error(true, ours, height=32).common.rotation_deg == pytest.approx(-90.0)


def test_sizes_may_differ():
    recovered = random_map(16)
    larger = recovered.repeat(4, axis=0).repeat(4, axis=1)
    rows = latlong.downsample(torch.from_numpy(larger), 16).numpy()
    np.testing.assert_allclose(rows, recovered)
    score = environment_error(recovered, turned(larger, 90.0), height=16)
    assert score.common.relative_rmse == pytest.approx(0.0, abs=1e-9)
    assert score.common.rotation_deg == pytest.approx(90.0)


def test_error_by_hand_and_solid_angle():
    """Truth: 1 above, 2 below. A grey map fits best with their mean: error 1/4 over 5/2."""
    truth = np.ones((8, 16, 3))
    truth[4:] = 2.0
    score = environment_error(np.full((8, 16, 3), 0.1), truth, height=8)
    assert score.common.relative_rmse == pytest.approx(math.sqrt(0.25 / 2.5))
    assert score.common.scale == pytest.approx((15.0,) * 3)
    assert score.common.rotation_deg == 0.0  # every turn fits equally
    # A pole row is small on the sphere: 1 - cos(pi / 8) of 2.
    pole = np.ones((8, 16, 3))
    pole[0] = 0.0
    share = (1 - math.cos(math.pi / 8)) / 2
    error = environment_error(np.ones((8, 16, 3)), pole, height=8).common
    assert error.scale == pytest.approx((1 - share,) * 3)
    assert error.relative_rmse == pytest.approx(math.sqrt(share))


def test_black_recovered_is_as_bad_as_black_and_black_truth_is_refused():
    score = environment_error(np.zeros((8, 16, 3)), random_map(8), height=8)
    assert score.per_channel.relative_rmse == pytest.approx(1.0)
    assert score.per_channel.scale == (0.0, 0.0, 0.0)
    with pytest.raises(EvaluationError, match="black"):
        environment_error(random_map(8), np.zeros((8, 16, 3)))


def test_a_scale_is_never_negative():
    score = environment_error(-random_map(8), random_map(8, seed=1), height=8)
    assert score.common.scale == (0.0, 0.0, 0.0)
    assert score.common.relative_rmse == pytest.approx(1.0)


def test_nan_is_refused():
    broken = random_map(8)
    broken[3, 3, 1] = np.nan
    with pytest.raises(EvaluationError, match="NaN"):
        environment_error(broken, random_map(8))
    with pytest.raises(EvaluationError, match="NaN"):
        environment_error(random_map(8), broken)
