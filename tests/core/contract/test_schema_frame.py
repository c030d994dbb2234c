"""A schema registry's frame is passed over where it may be there, and never lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.contract.observation_events import decode_observations
from stream_scorer.core.contract.quarantined_batch import BatchSummary, QuarantinedBatch
from stream_scorer.core.contract.reasons import batch_unreadable
from stream_scorer.core.contract.schema_frame import schema_frame_of, without_frame, without_frames
from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.core.dead_letters.repair import Fix, apply_fix
from stream_scorer.core.observations.validation import validate_batch
from tests.support.builders import an_event

FRAME = b"\0\0\0\0\x2a"


@given(st.none() | st.binary(max_size=20))
def test_a_value_is_its_frame_and_the_rest(value: bytes | None) -> None:
    rest = without_frame(value)
    assert (schema_frame_of(value) + rest if rest is not None else None) == value


@pytest.mark.parametrize("value", [None, b"", b"\0", b"\0\0\0\0\0", b"{}"])
def test_what_is_too_short_or_begins_otherwise_has_none(value: bytes | None) -> None:
    assert without_frame(value) == value


def test_json_never_begins_with_a_zero_byte() -> None:
    assert decode_observations([FRAME + an_event()]).rejected


def test_a_fix_mends_what_stands_behind_the_frame() -> None:
    broken = FRAME + an_event(SubjectAge=20.0)
    mended = apply_fix(broken, Fix(named=(NamedFix.INTEGERS_FROM_FLOATS,)))
    assert isinstance(mended, bytes)
    assert mended.startswith(FRAME)
    assert decode_observations([mended[5:]]).positions == [0]


class Record:
    """What the core reads of a record."""

    def __init__(self, offset: int, value: bytes) -> None:
        self.offset, self.value, self.key, self.headers, self.timestamp = offset, value, None, (), 0


@pytest.mark.parametrize(("framed", "passing"), [(True, 2), (False, 1)])
def test_frames_are_accepted_where_they_are_asked_for(framed: bool, passing: int) -> None:
    records = [Record(0, FRAME + an_event("a")), Record(1, an_event("b"))]
    found = validate_batch(records, partition=0, partitions=1, event_bytes_max=65_536, framed=framed)
    assert len(found.rows.ids) == passing
    assert [one.record.value for one in found.rejected] == ([] if framed else [records[0].value])


def test_a_quarantined_batch_keeps_its_first_bytes_and_says_what_it_is() -> None:
    summary = BatchSummary("zstd", 9, "", 0, 0, 1)
    batch = QuarantinedBatch.of(b"\0" * 9, summary, batch_unreadable(9, "zstd", "cut short"))
    assert without_frames([batch]) == [batch]
    assert isinstance(without_frame(batch), QuarantinedBatch)
