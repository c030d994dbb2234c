"""What a check says of letters goes to whoever asks: verdicts and sentences, and nothing that a record quotes."""

import json

import pytest

from stream_scorer.core.contract import reasons
from stream_scorer.core.dead_letters.repair import Fix, apply_fix, parse_fix
from stream_scorer.operations.dead_letters.replay.dry_run import Assessment, CheckResult
from tests.core.dead_letters.builders import a_letter, reasons_of
from tests.support.builders import an_event

SECRET = "Ms Jones, 12 Elm St"


def test_the_reasons_of_a_check_quote_nothing_of_the_record() -> None:
    value = an_event("ev-1", StatuteReason=SECRET, hour=99, **{SECRET: 1})
    judged = Assessment(a_letter(value), CheckResult.STILL_FAILS, reasons_of(value), value)
    assert [one.code for one in judged.masked_reasons] == [one.code for one in judged.reasons]
    assert "Jones" not in str(judged.masked_reasons)
    assert judged.masked_reasons[-1].message == "Field `hour` is not between 0 and 24"


@pytest.mark.parametrize(
    ("path", "keeps_id"),
    [
        pytest.param("/id", False, id="another id"),
        pytest.param("", False, id="no event any more"),
        pytest.param("/observation/day_of_week", True, id="the same id"),
    ],
)
def test_a_mended_letter_keeps_its_id_or_has_another(path: str, keeps_id: bool) -> None:
    fix = parse_fix(patch=json.dumps([{"op": "copy", "from": "/observation/StatuteReason", "path": path}]))
    assert isinstance(fix, Fix)
    letter = a_letter(an_event("ev-1", StatuteReason=SECRET))
    mended = apply_fix(letter.value, fix)
    assert isinstance(mended, bytes)
    judged = Assessment(letter, CheckResult.WOULD_CONFLICT, (reasons.conflict(SECRET, 3, ()),), mended)
    assert judged.keeps_id is keeps_id
    assert ("Jones" in str(judged.masked_reasons)) is keeps_id
