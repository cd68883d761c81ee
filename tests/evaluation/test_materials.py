import numpy as np
import pytest

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.materials import average_ranks, masked_mse, pearson, rank_correlation


def test_ties_share_the_mean_of_their_ranks():
    ranks = average_ranks(np.array([5.0, 1.0, 5.0, 9.0, 5.0]))
    assert ranks.tolist() == [3.0, 1.0, 3.0, 5.0, 3.0]


def test_any_rising_curve_has_1_and_any_falling_one_minus_1():
    values = np.random.default_rng(0).random((5, 6))
    assert rank_correlation(values**4, values) == pytest.approx(1.0)
    assert rank_correlation(-np.exp(values), values) == pytest.approx(-1.0)


def test_spearman_by_hand():
    """Without ties, 1 - 6 sum d^2 / (n (n^2 - 1)): d = 1, 1, 0, 1, 1."""
    predicted = np.array([0.2, 0.1, 0.3, 0.5, 0.4])
    truth = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert rank_correlation(predicted, truth) == pytest.approx(1 - 6 * 4 / (5 * 24))


def test_spearman_with_ties_by_hand():
    """Ranks 1.5 1.5 3 against 1 2 3: covariance 1.5, squares 1.5 and 2."""
    predicted, truth = np.array([0.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])
    assert rank_correlation(predicted, truth) == pytest.approx(1.5 / np.sqrt(1.5 * 2.0))


def test_a_constant_has_no_rank_correlation():
    truth = np.arange(4.0)
    assert rank_correlation(np.full(4, 0.3), truth) is None
    assert rank_correlation(truth, np.full(4, 0.3)) is None
    assert pearson(truth, truth * 1e-9, smallest_std=1e-6) is None


def test_only_the_mask_counts():
    predicted, truth = np.zeros((2, 2)), np.array([[0.5, 9.0], [1.0, np.nan]])
    where = np.array([[True, False], [True, False]])
    assert masked_mse(predicted, truth, where) == pytest.approx((0.25 + 1.0) / 2)
    assert rank_correlation(truth, truth, where) == pytest.approx(1.0)
    colours = np.zeros((2, 2, 3)) + truth[..., None]
    assert masked_mse(colours * 0, colours, where) == pytest.approx((0.25 + 1.0) / 2)


def test_nan_and_empty_masks_are_refused():
    truth = np.array([[0.5, np.nan]])
    with pytest.raises(EvaluationError, match="NaN"):
        masked_mse(np.zeros((1, 2)), truth, np.ones((1, 2), bool))
    with pytest.raises(EvaluationError, match="NaN"):
        rank_correlation(np.zeros((1, 2)), truth)
    with pytest.raises(EvaluationError, match="no pixel"):
        masked_mse(truth, truth, np.zeros((1, 2), bool))
