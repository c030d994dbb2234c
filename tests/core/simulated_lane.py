"""A lane without Kafka and without RocksDB: lists for topics, a dictionary for the store, crashes where asked for."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from stream_scorer.core.contract.observation_code import encode_observation
from stream_scorer.core.observations.deduplication import Arrivals, deduplicate_observations, deduplicate_repeats
from stream_scorer.core.outcomes.batch_join import Outcomes, join_buffered, join_outcomes
from stream_scorer.core.outcomes.expiry import expire_waiting
from stream_scorer.core.outcomes.join import JoinResult
from stream_scorer.core.quality.counts import QualityCounts
from stream_scorer.core.records import outcome_update
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.prediction import ModelIdentity, encode_predictions
from stream_scorer.core.records.record import BufferedRecord, ProducerRecord
from stream_scorer.core.records.timestamps import milliseconds, rfc3339
from stream_scorer.core.state.entry import Entry, is_expired, unpack, waiting_since_ms
from stream_scorer.core.state.entry_columns import pack_predictions
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.core.state.restore import Records, restore_predictions, restore_updates
from tests.core.reference_join import Fact

PARTITION = 3
SPEAKER = ModelIdentity("demo@0123456789ab", "champion", 0.4)

Fate = Literal["commits", "dies before its commit", "dies after its commit"]
Store = dict[bytes, bytes]


class Observed(NamedTuple):
    id: bytes
    code: int
    timestamp_ms: int


class Happened(NamedTuple):
    id: bytes
    true_class: bool
    timestamp_ms: int


class Effects(NamedTuple):
    """What a batch publishes and commits in one transaction, and what the store learns after it."""

    predictions: list[ProducerRecord]
    updates: list[ProducerRecord]
    facts: list[Fact]
    entries: dict[bytes, bytes | None]
    counted: QualityCounts
    retracted: QualityCounts


def probability(code: int) -> float:
    """What the model says: anything, as long as it is always the same."""
    return (code % 1000) / 999


class LaneSketch:
    """One lane's topics, offsets, store and model; `broken` are the codes that the model can't score."""

    def __init__(self, window_ms: int, broken: frozenset[int]) -> None:
        self.window_ms = window_ms
        self.broken = broken
        self.observations: list[Observed] = []
        self.outcomes: list[Happened] = []
        self.predictions: list[ProducerRecord] = []
        self.updates: list[ProducerRecord] = []
        self.facts: list[Fact] = []
        self.committed = [0, 0]
        self.models = ModelIds()
        self.store: Store = {}
        self.read = [0, 0]
        self.quality = QualityCounts()

    def run(self, observations: int, outcomes: int, now_ms: int, fate: Fate, *, expire: bool) -> list[Fact]:
        """One batch of at most so many records, to its end or to its crash; what it published."""
        begin = list(self.committed)
        end = [
            min(begin[0] + observations, len(self.observations)),
            min(begin[1] + outcomes, len(self.outcomes)),
        ]
        effects = self._effects(begin, end, WindowClock(now_ms, self.window_ms), expire)
        if fate == "dies before its commit":
            self.restart()
            return []
        self.predictions += effects.predictions
        self.updates += effects.updates
        self.facts += effects.facts
        self.committed = end
        self.quality.add(effects.counted)
        self.quality.add(effects.retracted, -1)
        if fate == "dies after its commit":
            self.restart()
        else:
            keep(self.store, effects.entries)
            self.read = [len(self.predictions), len(self.updates)]
        return effects.facts

    def restart(self) -> None:
        """A new process with the store that is there: it reads on from where the store has read."""
        restore(self.store, self.models, self.predictions[self.read[0] :], self.updates[self.read[1] :])
        self.read = [len(self.predictions), len(self.updates)]

    def lose_store(self) -> None:
        """A new process without a store."""
        self.models, self.store, self.read = ModelIds(), {}, [0, 0]
        self.restart()

    def sweep(self, now_ms: int) -> None:
        """Drop what the store may drop."""
        for id_ in [id_ for id_, packed in self.store.items() if is_expired(packed, now_ms - self.window_ms)]:
            del self.store[id_]

    def _effects(self, begin: list[int], end: list[int], clock: WindowClock, expire: bool) -> Effects:
        records = self.observations[begin[0] : end[0]]
        entries: dict[bytes, bytes | None] = {}
        predictions, facts, waiting = self._observe(records, begin[0], clock, entries)
        happened = self.outcomes[begin[1] : end[1]]
        outcomes = Outcomes(
            [each.id for each in happened],
            [each.true_class for each in happened],
            list(range(begin[1], end[1])),
            [each.timestamp_ms for each in happened],
        )
        answers = join_outcomes(
            outcomes,
            [entries[each.id] if each.id in entries else self.store.get(each.id) for each in happened],
            lambda position: BufferedRecord(happened[position].timestamp_ms, b"{}", happened[position].id),
            partition=PARTITION,
            models=self.models,
            clock=clock,
        )
        entries |= answers.entries
        both = [waiting, answers]
        if expire:
            state = {**self.store, **entries}
            due = [id_ for id_, packed in state.items() if packed is not None and waiting_since_ms(packed) is not None]
            both.append(
                expire_waiting(due, [state[id_] for id_ in due], partition=PARTITION, models=self.models, clock=clock)
            )
            entries |= both[-1].entries
        counted, retracted = QualityCounts(), QualityCounts()
        for each in both:
            facts += facts_of(each)
            counted.add(each.counted)
            retracted.add(each.retracted)
        return Effects(predictions, [u for each in both for u in each.updates], facts, entries, counted, retracted)

    def _observe(
        self, records: Sequence[Observed], first_offset: int, clock: WindowClock, entries: dict[bytes, bytes | None]
    ) -> tuple[list[ProducerRecord], list[Fact], JoinResult]:
        batch = Arrivals(
            [each.id for each in records],
            [each.code for each in records],
            list(range(first_offset, first_offset + len(records))),
        )
        found = [self.store.get(each.id) for each in records]
        facts: list[Fact] = []
        scored: list[int] = []
        early: list[int] = []
        admission = deduplicate_observations(batch, found, window_starts_ms=clock.window_starts_ms)
        while True:
            failed = {position for position in admission.new if batch.codes[position] in self.broken}
            scored += [position for position in admission.new if position not in failed]
            early += [position for position in admission.waiting if position not in failed]
            facts += [("failed", batch.offsets[position]) for position in failed]
            facts += [("redelivered", batch.offsets[position]) for position in admission.redelivered]
            for position, reason in admission.conflicts:
                assert reason.details is not None
                facts.append(("conflict", batch.offsets[position], reason.details["first_offset"]))
            if not admission.repeats:
                break
            admission = deduplicate_repeats(batch, admission, failed)
        scored.sort()
        packed, predictions = self._predict(records, batch, scored, clock)
        entries.update(packed)
        facts += [("predicted", batch.ids[at], batch.codes[at], batch.offsets[at]) for at in scored]
        ids = [batch.ids[position] for position in early]
        old = [found[position] or b"" for position in early]
        waiting = join_buffered(ids, [packed[id_] for id_ in ids], old, partition=PARTITION, models=self.models)
        entries.update(waiting.entries)
        return predictions, facts, waiting

    def _predict(
        self, records: Sequence[Observed], batch: Arrivals, scored: Sequence[int], clock: WindowClock
    ) -> tuple[dict[bytes, bytes], list[ProducerRecord]]:
        ids, codes = [batch.ids[at] for at in scored], [batch.codes[at] for at in scored]
        offsets, timestamps = [batch.offsets[at] for at in scored], [records[at].timestamp_ms for at in scored]
        probas = np.array([probability(code) for code in codes])
        values = encode_predictions(
            ids,
            codes,
            probas.tolist(),
            offsets,
            partition=PARTITION,
            speaker=SPEAKER,
            scored_at=rfc3339(clock.now_ms),
        )
        packed = pack_predictions(
            codes,
            probas,
            probas >= SPEAKER.threshold,
            self.models.number(SPEAKER.model, SPEAKER.role),
            offsets,
            clock.event_ms_each(np.array(timestamps, dtype=np.int64)),
            clock.now_ms,
        )
        published = [ProducerRecord(*each) for each in zip(ids, values, timestamps, strict=True)]
        return dict(zip(ids, packed, strict=True)), published


def facts_of(answers: JoinResult) -> list[Fact]:
    """What answers say: their updates, decoded, and their repeats."""
    facts: list[Fact] = [("repeat", offset) for offset in answers.repeats]
    for record in answers.updates:
        update = outcome_update.decode_update(record.value or b"")
        assert update.id.encode() == record.key
        assert update.source.partition == PARTITION
        offset = update.source.offset
        if isinstance(update, outcome_update.Joined):
            code = encode_observation(update.observation)
            assert (update.model, update.role) == (SPEAKER.model, SPEAKER.role)
            assert update.proba == probability(code)
            assert update.correct == (update.prediction == update.true_class)
            facts.append(("joined", record.key, update.revision, update.true_class, code, update.delay_s, offset))
        elif isinstance(update, outcome_update.AwaitingPrediction):
            outcome_ms = milliseconds(update.outcome_at)
            facts.append(("awaiting", record.key, update.true_class, outcome_ms, offset))
        else:
            facts.append(("unknown", record.key, offset))
    unknown = sorted(str(fact[2]) for fact in facts if fact[0] == "unknown")
    assert unknown == sorted(str(given_up.offset) for given_up in answers.given_up)
    return facts


def restore(
    store: Store,
    models: ModelIds,
    predictions: Sequence[ProducerRecord],
    published: Sequence[ProducerRecord],
    chunk: int = 3,
) -> None:
    """Read the records into the store, `chunk` records at a time, predictions first."""
    for records in chunks(predictions, chunk):
        keep(store, restore_predictions(records, [store.get(key or b"") for key in records.keys], models).entries)
    for records in chunks(published, chunk):
        keep(store, restore_updates(records, [store.get(key or b"") for key in records.keys], models).entries)


def chunks(records: Sequence[ProducerRecord], size: int) -> Iterator[Records]:
    for begin in range(0, len(records), size):
        some = records[begin : begin + size]
        yield Records([each.key for each in some], [each.value for each in some], [each.timestamp_ms for each in some])


def keep(store: Store, entries: dict[bytes, bytes | None]) -> None:
    for id_, packed in entries.items():
        if packed is None:
            store.pop(id_, None)
        else:
            store[id_] = packed


def meaning(store: Store, models: ModelIds, window_starts_ms: int) -> dict[bytes, tuple[Entry, tuple[str, str] | None]]:
    """What a store says, whatever its model numbers are and whether forgotten entries were dropped from it."""
    said: dict[bytes, tuple[Entry, tuple[str, str] | None]] = {}
    for id_, packed in store.items():
        entry = unpack(packed)
        predicted, model = entry.predicted, None
        if predicted is not None and predicted.scored_ms < window_starts_ms:
            predicted = None
        if predicted is not None:
            model, predicted = models[predicted.model], msgspec.structs.replace(predicted, model=0)
        if predicted is not None or entry.waiting:
            said[id_] = (Entry(predicted, entry.waiting), model)
    return said
