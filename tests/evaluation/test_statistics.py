import math

import pytest

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.statistics import (
    paired_difference,
    spread,
    student_quantile,
    student_within,
)


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [
        (1, 12.706205), (2, 4.302653), (3, 3.182446), (4, 2.776445), (5, 2.570582),
        (9, 2.262157), (10, 2.228139), (19, 2.093024), (30, 2.042272), (120, 1.979930),
        (199, 1.971957), (1000, 1.962339),
    ],
)  # fmt: skip
def test_printed_tables_of_t(degrees, quantile):
    assert student_quantile(degrees) == pytest.approx(quantile, abs=2e-6)


def test_closed_forms_of_one_and_two_degrees():
    assert student_quantile(1, 0.5) == pytest.approx(1.0)  # the quartile of Cauchy
    assert student_within(math.sqrt(3.0), 1) == pytest.approx(2.0 / 3.0)
    assert student_within(1.5, 2) == pytest.approx(1.5 / math.sqrt(2 + 1.5**2))
    assert student_quantile(2, 0.99) == pytest.approx(0.99 * math.sqrt(2 / (1 - 0.99**2)))


def test_many_degrees_are_normal():
    assert student_quantile(200_000) == pytest.approx(1.959964 * (1 + 2.4e-6 * 5), rel=2e-5)


def test_spread_by_hand():
    found = spread([1.0, 2.0, 3.0, 4.0])
    std = math.sqrt(5 / 3)
    assert (found.mean, found.count) == (2.5, 4)
    assert found.std == pytest.approx(std)
    assert found.low == pytest.approx(2.5 - 3.182446 * std / 2, abs=1e-6)
    assert found.high == pytest.approx(2.5 + 3.182446 * std / 2, abs=1e-6)
    same = spread([7.0, 7.0])
    assert (same.std, same.low, same.high) == (0.0, 7.0, 7.0)


def test_one_value_has_no_interval():
    found = spread([3.0])
    assert (found.mean, found.std, found.low, found.high, found.count) == (3.0, None, None, None, 1)


def test_infinity_stays_infinity():
    found = spread([30.0, math.inf, 31.0])
    assert (found.mean, found.std, found.low, found.high, found.count) == (
        math.inf, None, None, None, 3,
    )  # fmt: skip
    assert spread([-math.inf, 1.0]).mean == -math.inf


@pytest.mark.parametrize("values", [[1.0, math.nan], [], [math.inf, -math.inf]])
def test_what_has_no_mean_is_refused(values):
    with pytest.raises(EvaluationError):
        spread(values)


def test_what_views_share_cancels_in_pairs():
    before, after = [20.0, 30.0, 40.0], [20.5, 31.0, 41.5]
    found = paired_difference(before, after)
    assert found.mean == pytest.approx(1.0)
    assert found.std == pytest.approx(0.5)
    assert found.high == pytest.approx(1.0 + 4.302653 * 0.5 / math.sqrt(3), abs=1e-6)
    reverse = paired_difference(after, before)
    assert found.high is not None
    assert reverse.low == pytest.approx(-found.high)


def test_infinite_pairs():
    assert paired_difference([math.inf, 1.0], [math.inf, 3.0]).mean == 1.0
    assert paired_difference([20.0, 1.0], [math.inf, 3.0]).mean == math.inf
    assert paired_difference([math.inf, 1.0], [20.0, 3.0]).mean == -math.inf


def test_pairs_must_be_pairs_of_numbers():
    with pytest.raises(EvaluationError, match="2 before and 1 after"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(EvaluationError, match="NaN"):
        paired_difference([1.0, math.nan], [1.0, 2.0])
