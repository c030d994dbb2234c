"""What is known of ids: which were scored within the join window, from the predictions themselves.

Invariant: it says what a worker would find in its state, and reads only what that is made of.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.reasons import Reason
from stream_scorer.core.observations.deduplication import differing_columns
from stream_scorer.core.records.dead_letter_reader import Position
from stream_scorer.core.records.decode import TimeText, decode_or_none
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.records.prediction import ObservationCode
from stream_scorer.core.records.record import Source
from stream_scorer.core.records.timestamps import milliseconds
from stream_scorer.operations.dead_letters.context import Context
from stream_scorer.operations.reading.topic_reader import OnRead
from stream_scorer.runtime.worker.clock import wall_clock_ms

# Where the first one that is known is itself a letter, which has no offset yet
NO_OFFSET: Final = -1


class ScoredId(NamedTuple):
    """An id that was scored within the join window: the offset of its observation, and that as a number."""

    offset: int
    code: int


class ValidLetter(NamedTuple):
    """A letter that passes the contract: an observation as a number, or, with the time of its record, an outcome."""

    place: Position
    content: int
    outcome_ms: int | None


class PredictedFailure(NamedTuple):
    """A letter that passes the contract, and what it would meet then."""

    place: Position
    verdict: Literal["still_fails", "would_conflict", "already_scored"]
    reasons: tuple[Reason, ...] = ()


async def stumbling(
    access: Context, passing: Mapping[bytes, list[ValidLetter]], clock_ms: int, on_read: OnRead | None = None
) -> list[PredictedFailure]:
    """Those of the letters, by id and in their order, that would not be scored or joined though the contract takes
    them."""
    known = await known_ids(access, passing, on_read) if passing else {}
    window_starts_ms = clock_ms - int(access.settings.worker.join_window_s * 1000)
    conflicts = access.settings.worker.repeats_are_conflicts
    return [
        stumble
        for id_, letters in passing.items()
        for stumble in _of_one_id(id_.decode(), letters, known.get(id_), window_starts_ms, conflicts)
    ]


def _of_one_id(
    id_: str, letters: list[ValidLetter], known: ScoredId | None, window_starts_ms: int, repeats_are_conflicts: bool
) -> Iterator[PredictedFailure]:
    for place, content, outcome_ms in letters:
        if outcome_ms is not None:
            # one that has waited its window through is given up at once, unless its observation is there now
            if known is None and outcome_ms < window_starts_ms:
                yield PredictedFailure(place, "still_fails", (reasons.unknown_id(id_),))
        elif known is None:
            known = ScoredId(NO_OFFSET, content)  # it is scored, and those behind it meet that
        elif content != known.code or repeats_are_conflicts:
            columns = differing_columns(known.code, content)
            yield PredictedFailure(place, "would_conflict", (reasons.conflict(id_, known.offset, columns),))
        else:
            yield PredictedFailure(place, "already_scored")


class _Prediction(msgspec.Struct, gc=False):
    observation_code: ObservationCode
    source: Source
    scored_at: TimeText


_decode: Final = msgspec.json.Decoder(_Prediction).decode


def _decode_timed(value: bytes) -> _Prediction:
    prediction: _Prediction = _decode(value)
    milliseconds(prediction.scored_at)
    return prediction


async def known_ids(
    access: Context, ids: Mapping[bytes, object], on_read: OnRead | None = None
) -> dict[bytes, ScoredId]:
    """Those of the ids that were scored within the join window, from the predictions themselves."""
    starts_ms = wall_clock_ms() - int(access.settings.worker.join_window_s * 1000)
    spans = await access.reader.spans([access.names.predictions], stable=True)
    homes = {partition_of(id_, len(spans)) for id_ in ids} if len(ids) < len(spans) else None
    spans = {key: span for key, span in spans.items() if homes is None or key.partition in homes}
    wanted = await access.reader.scored_since(spans, starts_ms)
    total, before = sum(span.end - span.begin for span in wanted.values()), access.reader.records_read
    known: dict[bytes, ScoredId] = {}
    async for _, records in access.reader.read(wanted, whole_batches=True):
        for record in records:
            if record.key in ids:
                prediction = decode_or_none(_decode_timed, record.value)
                if prediction is not None and milliseconds(prediction.scored_at) >= starts_ms:
                    known[record.key] = ScoredId(prediction.source.offset, prediction.observation_code)
        if on_read is not None:
            on_read(access.reader.records_read - before, total)
    return known
