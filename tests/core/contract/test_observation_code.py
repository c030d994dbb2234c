"""One observation, one 28-bit number, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS, Observation
from stream_scorer.core.contract.observation_code import (
    CODES,
    column_indices,
    encode_columns,
    encode_observation,
    observation_columns,
)
from tests.support.builders import an_observation

ALL_CODES = st.integers(0, CODES - 1)


def test_there_are_155_937_600_numbers() -> None:
    assert CODES == 155_937_600


@pytest.mark.parametrize(("index", "expected"), [(0, 0), (-1, CODES - 1)], ids=["first", "last"])
def test_the_first_values_give_the_lowest_number_and_the_last_ones_the_highest(index: int, expected: int) -> None:
    assert encode_columns({column.name: column.domain[index] for column in COLUMNS}) == expected


def test_the_number_of_a_known_observation_never_changes() -> None:
    """Predictions carry it and stores keep it: another order of columns or values would be another contract."""
    assert encode_observation(Observation(**an_observation())) == 52_092_426


def test_the_day_is_the_lowest_digit_and_the_race_the_highest() -> None:
    code = encode_columns(an_observation())
    assert encode_columns(an_observation(day_of_week="Wednesday")) - code == 1
    assert encode_columns(an_observation(SubjectRaceCode="A")) - code == CODES // 4


@given(ALL_CODES)
def test_a_number_gives_its_observation_and_the_observation_its_number(code: int) -> None:
    columns = observation_columns(code)
    assert encode_columns(columns) == code
    assert encode_observation(Observation(**columns)) == code  # type: ignore[arg-type]  # the columns are right by their names
    assert tuple(columns) == COLUMN_NAMES
    for column in COLUMNS:
        assert type(columns[column.name]) is column.kind


@given(st.lists(ALL_CODES, max_size=20))
def test_indices_of_many_numbers_are_those_of_each(codes: list[int]) -> None:
    indices = column_indices(np.array(codes, np.int64))
    assert indices.shape == (10, len(codes))
    for row, code in zip(indices.T, codes, strict=True):
        values = observation_columns(code)
        assert [column.domain[index] for column, index in zip(COLUMNS, row, strict=True)] == list(values.values())
