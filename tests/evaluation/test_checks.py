import numpy as np
import pytest

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.checks import (
    require_finite,
    require_numbers,
    require_same_shape,
    require_some,
)


def test_the_message_says_what_how_many_and_where():
    array = np.zeros((2, 3))
    array[1, 2] = array[1, 1] = np.nan
    with pytest.raises(EvaluationError, match=r"true depth: 2 of 6 .* first at index \[1, 1\]"):
        require_finite(fine=np.zeros(2), true_depth=array)


def test_whole_numbers_and_finite_numbers_pass():
    require_finite(pixels=np.zeros((2, 2), np.uint8), values=np.ones(3))


def test_infinity_is_a_number_only_where_asked():
    require_numbers(values=np.array([np.inf]))
    with pytest.raises(EvaluationError):
        require_finite(values=np.array([np.inf]))
    with pytest.raises(EvaluationError):
        require_numbers(values=np.array([np.nan]))


def test_shapes_are_never_broadcast():
    require_same_shape(a=np.zeros((2, 3)), b=np.ones((2, 3)))
    with pytest.raises(EvaluationError, match=r"a \[2, 3\], b \[1, 3\]"):
        require_same_shape(a=np.zeros((2, 3)), b=np.ones((1, 3)))


def test_an_empty_mask_is_refused():
    require_some(np.array([False, True]))
    with pytest.raises(EvaluationError, match="no pixel"):
        require_some(np.zeros((2, 2), bool))
