"""The ledger's records: read as they were written, and nothing else is taken for one."""

import msgspec
import pytest
from jsonschema import Draft202012Validator

from stream_scorer.core.records.audit_log import Action, AuditEntry, decode_entry, encode_entry
from stream_scorer.core.records.dead_letter_reader import Position, SourcePosition
from stream_scorer.core.records.schemas import ledger_entry

FULL = AuditEntry(
    act=Action.REPLAY,
    who="ann",
    at="2026-11-22T08:00:00.000Z",
    origin=SourcePosition("stops.observations", 2, 17),
    letter=Position(2, 1_017),
    why="a form of theirs writes it small",
    replays=1,
    became=SourcePosition("stops.observations", 1, 99),
    fix="match-case",
)
SHORT = AuditEntry(act=Action.REVEAL, who="ann", at=FULL.at, origin=FULL.origin, letter=FULL.letter)


@pytest.mark.parametrize("entry", [pytest.param(FULL, id="all of it"), pytest.param(SHORT, id="the least")])
def test_an_entry_is_read_as_it_was_written_and_keeps_to_its_schema(entry: AuditEntry) -> None:
    encoded = encode_entry(entry)
    assert decode_entry(encoded) == entry
    Draft202012Validator(ledger_entry()).validate(msgspec.json.decode(encoded))


def test_all_acts_on_a_letter_share_a_key() -> None:
    assert FULL.key == SHORT.key == b"stops.observations-2@17"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="nothing"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"{}", id="no act"),
        pytest.param(encode_entry(FULL).replace(b'"replay"', b'"burn"'), id="another act"),
        pytest.param(encode_entry(FULL).replace(b'"offset":17', b'"offset":-1'), id="no offset"),
    ],
)
def test_what_is_no_act_is_passed_over(value: bytes | None) -> None:
    assert decode_entry(value) is None
