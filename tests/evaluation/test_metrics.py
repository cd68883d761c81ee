import math

import numpy as np
import pytest

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.metrics import (
    BestGain,
    PooledError,
    angles_deg,
    angular_error,
    mean_ssim,
    over,
    psnr,
    psnr_per_channel,
)


def test_psnr_by_hand():
    assert psnr(np.zeros((2, 2, 3)), np.full((2, 2, 3), 0.1)) == pytest.approx(20.0)
    assert psnr(np.ones((2, 2, 3)), np.ones((2, 2, 3))) == math.inf


def test_pooling_is_one_error_over_everything():
    pooled = PooledError()
    pooled.add(np.zeros((1, 1, 3)), np.full((1, 1, 3), 0.1))
    pooled.add(np.zeros((3, 1, 3)), np.zeros((3, 1, 3)))
    assert pooled.psnr() == pytest.approx(-10 * math.log10(0.01 / 4))


def test_ssim_of_equal_and_different():
    picture = np.random.default_rng(0).random((24, 24, 3))
    assert mean_ssim(picture, picture) == pytest.approx(1.0)
    assert mean_ssim(picture, 1.0 - picture) < 0.1


def test_blending_is_in_encoded_values():
    color, alpha = np.full((1, 1, 3), 0.4), np.full((1, 1, 1), 0.25)
    np.testing.assert_allclose(over(color, alpha, 1.0), 0.25 * 0.4 + 0.75)


def test_angles_of_known_vectors():
    normals = np.array([[[0, 0, 2.0], [1, 0, 0], [0, 1, 1], [0, 0, 0]]])
    truth = np.array([[[0, 0, 1.0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]])
    np.testing.assert_allclose(angles_deg(normals, truth), [[0, 90, 45, 90]], atol=1e-4)


def test_best_gain_finds_a_factor_and_ignores_the_background():
    picture = np.random.default_rng(1).random((8, 8, 3))
    truth = picture * [0.5, 1.0, 2.0]
    truth[0] = 9.0
    where = np.ones((8, 8), bool)
    where[0] = False
    fit = BestGain()
    fit.add(picture, truth, where)
    np.testing.assert_allclose(fit.gain(), [0.5, 1.0, 2.0], rtol=1e-6)
    assert BestGain().gain().tolist() == [1.0, 1.0, 1.0]


def test_psnr_of_channels_is_the_mean_of_three_by_hand():
    picture = np.ones((2, 2, 3)) * [0.1, 0.01, 0.001]  # 20, 40 and 60 dB
    truth = np.zeros((2, 2, 3))
    assert psnr_per_channel(picture, truth) == pytest.approx(40.0)
    assert psnr(picture, truth) == pytest.approx(-10 * math.log10((1e-2 + 1e-4 + 1e-6) / 3))


def test_psnr_of_channels_is_infinite_if_one_channel_is_equal():
    truth = np.zeros((2, 2, 3))
    assert psnr_per_channel(truth, truth) == math.inf
    assert psnr_per_channel(np.ones((2, 2, 3)) * [0.5, 0.0, 0.5], truth) == math.inf


def test_angular_error_over_a_mask():
    normals = np.array([[[0, 0, 2.0], [1, 0, 0], [0, 1, 1], [np.nan, 0, 0]]])
    truth = np.array([[[0, 0, 1.0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]])
    where = np.array([[True, True, True, False]])
    error = angular_error(normals, truth, where)
    assert error.mean_deg == pytest.approx(45.0, abs=1e-4)
    assert error.median_deg == pytest.approx(45.0, abs=1e-4)
    with pytest.raises(EvaluationError, match="selects no pixel"):
        angular_error(normals, truth, np.zeros((1, 4), bool))


@pytest.mark.parametrize("measure", [psnr, psnr_per_channel, mean_ssim, angles_deg])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_measure_lets_nan_pass(measure, bad):
    picture = np.full((16, 16, 3), 0.5)
    broken = picture.copy()
    broken[3, 4, 1] = bad
    with pytest.raises(EvaluationError, match=r"1 of .*NaN"):
        measure(broken, picture)
    with pytest.raises(EvaluationError, match=r"1 of .*NaN"):
        measure(picture, broken)


def test_a_gain_from_nan_is_refused_inside_the_mask_only():
    broken = np.ones((2, 2, 3))
    broken[0, 0] = np.nan
    where = np.ones((2, 2), bool)
    with pytest.raises(EvaluationError):
        BestGain().add(broken, np.ones((2, 2, 3)), where)
    where[0, 0] = False
    BestGain().add(broken, np.ones((2, 2, 3)), where)
