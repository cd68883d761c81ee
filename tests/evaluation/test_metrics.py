import math

import numpy as np
import pytest

from relight3d.evaluation.metrics import BestGain, PooledError, angles_deg, mean_ssim, over, psnr


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
