import numpy as np
import pytest

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.shadow_leak import shadow_leak

EVERYWHERE = np.ones((40, 50), bool)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """True albedo [H W 3] and grey shading [H W 1]."""
    random = np.random.default_rng(0)
    return 0.2 + 0.7 * random.random((40, 50, 3)), 0.1 + 0.9 * random.random((40, 50, 1))


@pytest.mark.parametrize(("power", "expected"), [(0.5, 1.0), (1.0, 1.0), (0.01, 1.0), (-0.3, -1.0)])
def test_a_share_of_the_shading_in_the_albedo(power, expected):
    albedo, shading = scene()
    found = shadow_leak(albedo * shading**power, albedo, albedo * shading, EVERYWHERE)
    assert found == pytest.approx(expected, abs=1e-9)


def test_factors_change_nothing():
    albedo, shading = scene()
    noise = np.exp(0.3 * np.random.default_rng(1).standard_normal((40, 50, 1)))
    predicted, photo = albedo * shading**0.5 * noise, albedo * shading
    once = shadow_leak(predicted, albedo, photo, EVERYWHERE)
    assert once is not None and 0.3 < once < 0.95
    assert shadow_leak(predicted * 1.7, albedo, photo * 2.5, EVERYWHERE) == pytest.approx(once)


def test_independent_noise_does_not_follow_the_shading():
    albedo, shading = scene()
    noise = np.exp(0.3 * np.random.default_rng(1).standard_normal((40, 50, 1)))
    found = shadow_leak(albedo * noise, albedo, albedo * shading, EVERYWHERE)
    assert found == pytest.approx(0.0, abs=4 / np.sqrt(2000))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_undefined_for_a_perfect_albedo_and_for_constant_shading(dtype):
    albedo, shading = (a.astype(dtype) for a in scene())
    photo = albedo * shading
    assert shadow_leak(albedo, albedo, photo, EVERYWHERE) is None
    assert shadow_leak(albedo * dtype(0.37), albedo, photo, EVERYWHERE) is None
    assert shadow_leak(albedo * shading, albedo, albedo * dtype(0.5), EVERYWHERE) is None


def test_dark_pixels_and_background_are_left_out():
    albedo, shading = scene()
    predicted, photo = albedo * shading**0.5, albedo * shading
    predicted[0], photo[1], albedo[2] = 0.0, 1e-4, 0.003
    photo[3] = 1.0  # an occluder in the photo, masked
    where = EVERYWHERE.copy()
    where[3] = False
    assert shadow_leak(predicted, albedo, photo, where) == pytest.approx(1.0)
    assert shadow_leak(predicted, albedo, photo, np.zeros((40, 50), bool)) is None


def test_pixels_of_many_views_may_be_given_together():
    albedo, shading = (a.reshape(2000, -1) for a in scene())
    where = np.ones(2000, bool)
    assert shadow_leak(albedo * shading, albedo, albedo * shading, where) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("value", "problem"), [(np.nan, "NaN"), (np.inf, "NaN"), (-9.0, "negative")]
)
def test_unusable_values_are_refused(value, problem):
    albedo, shading = scene()
    broken = albedo * shading
    broken[5, 5] = value
    for arguments in [(broken, albedo, albedo), (albedo, broken, albedo), (albedo, albedo, broken)]:
        with pytest.raises(EvaluationError, match=problem):
            shadow_leak(*arguments, EVERYWHERE)
