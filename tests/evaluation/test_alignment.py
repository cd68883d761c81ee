import numpy as np
import pytest

from relight3d.evaluation.alignment import albedo_gain, evenly_spaced


def test_evenly_spaced():
    assert evenly_spaced(3) == [0, 1, 2]
    assert evenly_spaced(20) == list(range(20))
    chosen = evenly_spaced(200)
    assert len(chosen) == len(set(chosen)) == 20
    assert (chosen[0], chosen[-1]) == (0, 199)
    assert set(np.diff(chosen)) <= {10, 11}


def test_median_per_channel_over_the_foreground():
    rng = np.random.default_rng(0)
    truth = rng.random((16, 16, 3)) * 0.5 + 0.2
    predicted = truth / [2.0, 1.0, 0.5]
    foreground = rng.random((16, 16)) > 0.3
    predicted[~foreground] = 0.77  # background counts nothing
    outliers = np.argwhere(foreground)[:20]
    predicted[tuple(outliers.T)] = 0.0  # a median does not mind a few
    gain = albedo_gain([(predicted, truth, foreground)])
    assert gain == pytest.approx((2.0, 1.0, 0.5))


def test_views_are_pooled_before_the_median():
    ones = np.ones((4, 4, 3))
    everywhere, corner = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    corner[0, 0] = True
    assert albedo_gain([(ones, ones * 2, everywhere), (ones, ones * 8, corner)])[0] == 2.0


def test_no_foreground_is_no_gain():
    ones = np.ones((2, 2, 3))
    assert albedo_gain([(ones, ones, np.zeros((2, 2), bool))]) == (1.0, 1.0, 1.0)
