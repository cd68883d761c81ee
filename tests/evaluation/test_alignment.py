import dataclasses

import numpy as np
import pytest

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.alignment import GainFit, alignment_views
from relight3d.evaluation.compared import Pair
from relight3d.evaluation.protocols import IRGS, SCALE_FREE, TENSOIR
from relight3d.files.images import Image


def pair(ours, truth, where):
    frame = Image(np.asarray(ours, np.float32), None, "linear", 32)
    true = Image(np.asarray(truth, np.float32), None, "linear", 32)
    return Pair(frame, true, where[..., None].astype(np.float32))


def gain(protocol, *pairs, scene=""):
    fit = GainFit(protocol, scene)
    for each in pairs:
        fit.add(each)
    return fit.gain()


def test_views_as_tensoir_takes_them():
    assert alignment_views(3, 20) == [0, 1, 2]
    assert alignment_views(20, 20) == list(range(20))
    assert alignment_views(200, 20) == list(range(0, 200, 10))
    assert alignment_views(43, 20) == list(range(0, 40, 2))
    assert alignment_views(43, None) == list(range(43))
    assert alignment_views(43, 1) == [0]


def test_median_per_channel_over_the_foreground():
    rng = np.random.default_rng(0)
    truth = rng.random((16, 16, 3)) * 0.5 + 0.2
    predicted = truth / [2.0, 1.0, 0.5]
    foreground = rng.random((16, 16)) > 0.3
    predicted[~foreground] = 0.77  # background counts nothing
    outliers = np.argwhere(foreground)[:20]
    predicted[tuple(outliers.T)] = 0.0  # a median does not mind a few
    assert gain(TENSOIR, pair(predicted, truth, foreground)) == pytest.approx(
        (2.0, 1.0, 0.5), rel=1e-5
    )


def test_views_are_pooled_before_the_median():
    ones = np.ones((4, 4, 3))
    everywhere, corner = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    corner[0, 0] = True
    pairs = [pair(ones, ones * 2, everywhere), pair(ones, ones * 8, corner)]
    assert gain(TENSOIR, *pairs)[0] == 2.0


def test_least_squares():
    """sum(xy) / sum(xx) of (1, 2) -> (2, 5) is 12 / 5."""
    ours = np.array([[[1.0] * 3, [2.0] * 3]])
    truth = np.array([[[2.0] * 3, [5.0] * 3]])
    found = gain(SCALE_FREE, pair(ours, truth, np.ones((1, 2), bool)))
    assert found == pytest.approx((2.4,) * 3)
    black = gain(SCALE_FREE, pair(ours * 0, truth, np.ones((1, 2), bool)))
    assert black == (1.0, 1.0, 1.0)


def test_no_foreground_is_no_gain():
    ones = np.ones((2, 2, 3))
    assert gain(TENSOIR, pair(ones, ones, np.zeros((2, 2), bool))) == (1.0, 1.0, 1.0)


def test_a_single_channel_for_named_scenes():
    ones = np.ones((2, 2, 3))
    given = pair(ones / [2, 3, 4], ones, np.ones((2, 2), bool))
    assert gain(IRGS, given, scene="air_baloons") == pytest.approx((2, 2, 2))
    assert gain(IRGS, given, scene="chair") == pytest.approx((2, 3, 4))


def test_nan_does_not_pass():
    ones = np.ones((2, 2, 3))
    with pytest.raises(EvaluationError, match="NaN"):
        gain(TENSOIR, pair(ones * np.nan, ones, np.ones((2, 2), bool)))


def test_a_protocol_without_alignment_has_no_gain_to_fit():
    with pytest.raises(AssertionError):
        GainFit(dataclasses.replace(TENSOIR, alignment=None))
