"""Evidence records: counts survive them, and strangers' bytes are none."""

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.records.model_control import ServedModel
from stream_scorer.core.records.model_evidence import (
    CELLS,
    GROUPS,
    ModelEvidence,
    decode_evidence,
    encode_evidence,
)
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.rollout.evidence import cell_of, evidence_of, total_evidence


def a_record(outcomes: tuple[int, ...] = (0,) * (GROUPS * CELLS), recent: str = "") -> ModelEvidence:
    return ModelEvidence(
        partition=1,
        champion=ServedModel(name="stops", digest="a" * 64, threshold=0.4),
        candidate=ServedModel(name="trees", digest="b" * 64, threshold=0.5),
        first=FirstOffsets(10, 20),
        next=FirstOffsets(30, 40),
        outcomes=outcomes,
        recent=recent,
        scored=(1, 2, 3, 4),
        residual_sum=-0.5,
        residual_squares=0.25,
        worker="w",
        at="2026-01-02T03:04:05.678Z",
    )


def test_a_record_gives_its_counts_back() -> None:
    cell = cell_of(champion=True, candidate=False, outcome=True)
    outcomes = [0] * (GROUPS * CELLS)
    outcomes[cell] = 7  # of the first group of each column
    counts = evidence_of(a_record(tuple(outcomes), recent=f"{cell}0{cell}"))
    assert counts.outcomes[0, 0, 0, cell] == counts.outcomes.sum() == 7
    assert counts.recent[cell] == 2
    assert counts.recent[0] == 1
    assert counts.scored.tolist() == [[1, 2], [3, 4]]
    assert np.array_equal(total_evidence([counts, counts]).cells, 2 * counts.cells)


def test_a_record_is_read_as_it_was_written_and_a_later_format_is_none() -> None:
    record = a_record(recent="0123")
    assert record.key == b"stops@aaaaaaaaaaaa/trees@bbbbbbbbbbbb"
    assert decode_evidence(encode_evidence(record)) == record
    assert decode_evidence(encode_evidence(msgspec.structs.replace(record, format=2))) is None


def test_counts_of_another_shape_or_cells_that_there_are_not_are_no_record() -> None:
    assert decode_evidence(encode_evidence(a_record((1,)))) is None
    assert decode_evidence(encode_evidence(a_record(recent="8"))) is None


@given(st.binary() | st.just(b"[" * 100_000))
def test_strange_bytes_are_no_evidence(value: bytes) -> None:
    assert decode_evidence(value) is None
