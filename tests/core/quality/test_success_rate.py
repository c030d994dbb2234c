"""The rule of the business: a verdict and the precision that it stands on."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from stream_scorer.core.quality import verify_success_rate_above


@pytest.mark.parametrize("as_given", [list, tuple, np.array], ids=["lists", "tuples", "arrays"])
@pytest.mark.parametrize(
    ("y_true", "y_pred", "minimum", "said"),
    [
        pytest.param([1, 1, 0], [1, 1, 0], 0.5, (True, 1.0), id="all right"),
        pytest.param([0, 0], [1, 1], 0.5, (False, 0.0), id="all wrong"),
        pytest.param([1, 1, 1, 0], [1, 1, 1, 1], 0.5, (True, 0.75), id="three of four"),
        pytest.param([True, False], [True, True], 0.5, (True, 0.5), id="exactly the minimum is enough"),
        pytest.param([True, False, False, False], [True] * 4, 0.5, (False, 0.25), id="below the minimum"),
        pytest.param([False, True], [False, True], 0.5, (True, 1.0), id="only what was predicted true counts"),
        pytest.param([True, True], [False, False], 0.5, (False, 0.0), id="no positive prediction is not a success"),
        pytest.param([True, True], [False, False], 0.0, (False, 0.0), id="not even where the minimum is 0"),
        pytest.param([0, 0], [1, 1], 0.0, (True, 0.0), id="a minimum of 0 is reached by any prediction"),
        pytest.param([], [], 0.5, (False, 0.0), id="nothing at all is not a success"),
    ],
)
def test_the_success_rate_must_reach_its_minimum(
    y_true: list[bool],
    y_pred: list[bool],
    minimum: float,
    said: tuple[bool, float],
    as_given: Callable[[Sequence[bool]], Sequence[bool]],
) -> None:
    found = verify_success_rate_above(as_given(y_true), as_given(y_pred), min_success_rate=minimum)
    assert found == said
    assert (type(found[0]), type(found[1])) == (bool, float)


def test_the_minimum_is_a_half_unless_told() -> None:
    assert verify_success_rate_above([True, False], [True, True]) == (True, 0.5)
    assert verify_success_rate_above([True, False, False, False], [True] * 4) == (False, 0.25)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "minimum", "message"),
    [
        ([True], [True, False], 0.5, "y_true has 1 entries, y_pred 2"),
        ([2], [True], 0.5, "y_true holds values other than"),
        ([True], [0.5], 0.5, "y_pred holds values other than"),
        ([True], [float("nan")], 0.5, "y_pred holds values other than"),
        (["yes"], [True], 0.5, "y_true holds values other than"),
        ([[True]], [True], 0.5, "y_true has 2 dimensions"),
        ([True], [True], 50, "min_success_rate is 50"),
    ],
    ids=["lengths differ", "a two", "a probability", "not a number", "text", "a table", "per cent"],
)
def test_what_can_not_be_judged_is_refused(
    y_true: list[bool], y_pred: list[bool], minimum: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        verify_success_rate_above(y_true, y_pred, minimum)
