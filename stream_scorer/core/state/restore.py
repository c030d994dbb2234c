"""The state made again from the topics: entries from the records of predictions and outcome updates.

Invariant: for any history, the entries made here say what the entries kept along the way say. Within a topic, records
come in their order; which topic is read first does not matter, but predictions first is many times faster.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec
import numpy as np

from stream_scorer.core.contract.columns import ID_BYTES_MAX
from stream_scorer.core.contract.observation_code import encode_observation
from stream_scorer.core.records import outcome_update
from stream_scorer.core.records.decode import Name, Offset, TimeText, decode_each
from stream_scorer.core.records.prediction import ObservationCode, Probability
from stream_scorer.core.records.timestamps import LATEST_MS, milliseconds
from stream_scorer.core.state.entry import (
    ANSWERED,
    OFFSET_UNKNOWN,
    ROW_BYTES,
    TRUE_CLASS,
    BufferedOutcome,
    Entry,
    ScoredObservation,
    pack,
    unpack,
)
from stream_scorer.core.state.entry_columns import int48_column, pack_predictions, rows_from_bytes, rows_to_bytes
from stream_scorer.core.state.model_ids import ModelIds


class Records(NamedTuple):
    """Records of one partition, in their order: key (the id), value, timestamp."""

    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    timestamps_ms: Sequence[int]


class Restored(NamedTuple):
    """Entries to keep (None: none left), and the positions of records that are not ours and say nothing."""

    entries: dict[bytes, bytes | None]
    unreadable: list[int]


class _Source(msgspec.Struct, gc=False):
    offset: Offset


class _Prediction(msgspec.Struct, gc=False):
    """What the state needs of a prediction."""

    prediction: bool
    proba: Probability
    model: Name
    role: Name
    observation_code: ObservationCode
    source: _Source
    scored_at: TimeText


_decode_prediction: Final = msgspec.json.Decoder(_Prediction).decode


def restore_predictions(records: Records, found: Sequence[bytes | None], models: ModelIds) -> Restored:
    """The entries after these predictions, given the packed entry found for each key (None: none). `models` learns
    those that are new to it."""
    keys, timestamps_ms = records.keys, records.timestamps_ms
    decoded = _decode_each(records, _decode_prediction, lambda each: (each.scored_at,), models)
    unreadable = [at for at, (key, each) in enumerate(zip(keys, decoded, strict=True)) if key is None or each is None]
    if unreadable:
        bad = set(unreadable)
        readable = [at for at in range(len(keys)) if at not in bad]
        keys, timestamps_ms = [keys[at] for at in readable], [timestamps_ms[at] for at in readable]
        decoded, found = [decoded[at] for at in readable], [found[at] for at in readable]
    ids = [key for key in keys if key is not None]
    packed = _pack([each for each in decoded if each is not None], timestamps_ms, models)
    if not any(found) and len(set(ids)) == len(ids):
        return Restored(dict(zip(ids, packed, strict=True)), unreadable)
    entries: dict[bytes, bytes | None] = {}
    for id_, new, in_store in zip(ids, packed, found, strict=True):
        old = entries.get(id_, in_store)
        entries[id_] = new if old is None else pack(_with_prediction(unpack(old), unpack(new)))
    return Restored(entries, unreadable)


def _pack(predictions: Sequence[_Prediction], timestamps_ms: Sequence[int], models: ModelIds) -> list[bytes]:
    scored_ms = np.array([milliseconds(each.scored_at) for each in predictions], dtype=np.int64)
    timestamps = np.asarray(timestamps_ms, dtype=np.int64)
    return pack_predictions(
        [each.observation_code for each in predictions],
        [each.proba for each in predictions],
        [each.prediction for each in predictions],
        np.array([models.number(each.model, each.role) for each in predictions], dtype=np.int64),
        [each.source.offset for each in predictions],
        np.where(timestamps < 0, scored_ms, np.minimum(timestamps, scored_ms)),
        scored_ms,
    )


def _with_prediction(entry: Entry, new: Entry) -> Entry:
    """The entry after a prediction. An id is scored again only when its last prediction is older than the join window,
    so the later one counts; of one and the same, an update may have told already."""
    known, predicted = entry.predicted, new.predicted
    if known is None or predicted is None or known.scored_ms < predicted.scored_ms:
        return Entry(predicted, entry.waiting)
    if known.scored_ms > predicted.scored_ms:
        return entry
    known = msgspec.structs.replace(known, offset=predicted.offset, event_ms=predicted.event_ms)
    return Entry(known, entry.waiting)


def restore_updates(records: Records, found: Sequence[bytes | None], models: ModelIds) -> Restored:
    """The entries after these outcome updates, given the packed entry found for each key (None: none)."""
    decoded = _decode_each(records, outcome_update.decode_update, _times, models)
    plain = _plain_joined(records.keys, decoded, found)
    if plain is not None:
        return Restored(plain, [])
    entries: dict[bytes, bytes | None] = {}
    unreadable: list[int] = []
    for position, (key, update) in enumerate(zip(records.keys, decoded, strict=True)):
        if key is None or update is None:
            unreadable.append(position)
            continue
        packed = entries[key] if key in entries else found[position]
        entry = with_update(unpack(packed) if packed is not None else Entry(None), update, models)
        entries[key] = pack(entry) if entry != Entry(None) else None
    return Restored(entries, unreadable)


def _plain_joined(
    keys: Sequence[bytes | None], decoded: Sequence[outcome_update.Update | None], found: Sequence[bytes | None]
) -> dict[bytes, bytes | None] | None:
    """The entries after first outcomes, each of another id whose prediction was found unanswered; else None."""
    ids = [key for key in keys if key is not None]
    packed = [entry for entry in found if entry is not None and len(entry) == ROW_BYTES]
    joined = [update for update in decoded if type(update) is outcome_update.Joined and update.revision == 1]
    if not len(packed) == len(joined) == len(set(ids)) == len(keys):
        return None
    rows = rows_from_bytes(packed)
    scored_ms = np.array([milliseconds(update.scored_at) for update in joined], dtype=np.int64)
    if (int48_column(rows, "scored_ms") != scored_ms).any() or (rows["head"] & ANSWERED).any():
        return None
    actual = np.array([update.true_class for update in joined], dtype=np.bool_)
    rows["head"] |= (ANSWERED + actual * TRUE_CLASS).astype(np.uint32)
    return dict(zip(ids, rows_to_bytes(rows), strict=True))


def with_update(entry: Entry, update: outcome_update.Update, models: ModelIds) -> Entry:
    """The entry after an outcome update."""
    offset = update.source.offset
    waiting = tuple(each for each in entry.waiting if each.offset != offset)
    if isinstance(update, outcome_update.Joined):
        return Entry(_with_outcome(entry.predicted, update, models), waiting)
    if isinstance(update, outcome_update.Unknown):
        return Entry(entry.predicted, waiting)
    if len(waiting) < len(entry.waiting):
        return entry
    new = BufferedOutcome(update.true_class, milliseconds(update.outcome_at), offset, update.record)
    return Entry(entry.predicted, (*waiting, new))


def _with_outcome(
    known: ScoredObservation | None, update: outcome_update.Joined, models: ModelIds
) -> ScoredObservation:
    scored_ms = milliseconds(update.scored_at)
    if known is None or known.scored_ms < scored_ms:
        return ScoredObservation(
            code=encode_observation(update.observation),
            proba=update.proba,
            prediction=update.prediction,
            model=models.number(update.model, update.role),
            offset=OFFSET_UNKNOWN,
            event_ms=min(max(milliseconds(update.outcome_at) - round(update.delay_s * 1000), 0), LATEST_MS),
            scored_ms=scored_ms,
            true_class=update.true_class,
            revision=update.revision,
        )
    if known.scored_ms > scored_ms:
        return known
    return msgspec.structs.replace(known, true_class=update.true_class, revision=update.revision)


def _times(update: outcome_update.Update) -> tuple[str, ...]:
    return (update.outcome_at, update.scored_at) if isinstance(update, outcome_update.Joined) else (update.outcome_at,)


Decoded = TypeVar("Decoded", _Prediction, outcome_update.Update)


def _decode_each(
    records: Records, decode: Callable[[bytes], Decoded], times: Callable[[Decoded], tuple[str, ...]], models: ModelIds
) -> list[Decoded | None]:
    """Every value decoded; None where the record is not what we write, or names an id, a time or a model that an entry
    can't hold."""
    decoded = decode_each(decode, records.values)
    readable = [each for each in decoded if each is not None]
    # what many records share is looked at once: nearly always that is all there is to do
    bad_times = {text for text in {text for each in readable for text in times(each)} if not _is_time(text)}
    bad_models = {pair for pair in {_model_of(each) for each in readable} if pair and not models.has_room_for(*pair)}
    longest_key = max((len(key) for key in records.keys if key is not None), default=0)
    if bad_times or bad_models or longest_key > ID_BYTES_MAX:
        for position, (key, each) in enumerate(zip(records.keys, decoded, strict=True)):
            if each is not None and (
                len(key or b"") > ID_BYTES_MAX
                or not bad_times.isdisjoint(times(each))
                or (_model_of(each) or ("", "")) in bad_models
            ):
                decoded[position] = None
    return decoded


def _is_time(text: str) -> bool:
    try:
        milliseconds(text)
    except ValueError:
        return False
    return True


def _model_of(each: _Prediction | outcome_update.Update) -> tuple[str, str] | None:
    """The model that a record names; None where its kind names none."""
    return (each.model, each.role) if isinstance(each, _Prediction | outcome_update.Joined) else None
