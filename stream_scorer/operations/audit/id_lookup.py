"""The records of one id found from what its lane's state knows: a few offsets are read, not the topics.

Invariant: every record that it gives was read from its topic; where the state or the topics do not say enough, it gives
None, and the topics are read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from stream_scorer.client.stop_lookup import StopLookup
from stream_scorer.core.audit.id_timeline import RecordKind, TimelineEntry, id_matcher, in_order, sighting
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.records.record import Source
from stream_scorer.core.records.timestamps import milliseconds
from stream_scorer.core.state.known_stop import KnownStop
from stream_scorer.errors import StateLookupError
from stream_scorer.operations.reading.topic_reader import Reader, Span, explained
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.settings.settings import Settings


class Found(NamedTuple):
    """The records of an id, in order of time; how many were read for them; and the partition that they belong on."""

    partition: int
    records: list[TimelineEntry]
    records_read: int


async def ask_worker(settings: Settings, id_: str, partitions: int) -> KnownStop | None:
    """What the owner of the id's lane knows; None where it can't be asked now, or knows nothing."""
    try:
        async with explained({"bootstrap_servers": settings.kafka.bootstrap}), StopLookup(settings) as lookup:
            known = await lookup.ask(id_, partitions)
    except StateLookupError:
        return None
    return None if known.status == "unknown" else known


async def find_by_state(settings: Settings, names: TopicNames, id_: str) -> Found | None:
    """The observation, its prediction, the outcomes and their updates; None where the state does not lead to them.

    What the state does not know is not among them: repeats, conflicts and other dead letters under this id."""
    async with Reader(client_options(settings.kafka)) as reader:
        spans = await reader.spans([names.observations, names.outcomes, names.predictions, names.outcome_updates])
        partitions = sum(partition.topic == names.observations for partition in spans)
        known = await ask_worker(settings, id_, partitions)
        if known is None:
            return None
        search = _Search(reader, names, id_, partitions, spans)
        if not await search.prediction(known) or not await search.outcomes(known):
            return None
        return Found(partition_of(id_.encode(), partitions), in_order(search.found), reader.records_read)


class _Search:
    """Reads what the state points to. A method is False where what must be there is not."""

    def __init__(
        self, reader: Reader, names: TopicNames, id_: str, partitions: int, spans: Mapping[TopicPartition, Span]
    ) -> None:
        self.found: list[TimelineEntry] = []
        self._reader, self._names, self._partitions, self._spans = reader, names, partitions, spans
        self._home = partition_of(id_.encode(), partitions)
        self._spot = id_matcher(id_.encode())

    async def prediction(self, known: KnownStop) -> bool:
        """The observation and its prediction."""
        predicted = known.prediction
        if predicted is None:
            return True
        if predicted.source.offset is None:
            return False
        place = Source(predicted.source.partition, predicted.source.offset)
        observed = await self._input(self._names.observations, RecordKind.OBSERVATION, place)
        predictions = TopicPartition(self._names.predictions, self._home)
        since = await self._reader.scored_since(
            {predictions: self._spans[predictions]}, milliseconds(predicted.scored_at)
        )
        return observed and await self._first(predictions, since[predictions], RecordKind.PREDICTION)

    async def outcomes(self, known: KnownStop) -> bool:
        """The updates, where there is an outcome, and the outcomes that they name."""
        if known.outcome is None and not known.waiting:
            return True
        updates = TopicPartition(self._names.outcome_updates, self._home)
        told = await self._all(updates, self._spans[updates], RecordKind.OUTCOME_UPDATE)
        places = {Source(**entry.details["source"]) for entry in told if "source" in entry.details}
        here = [
            await self._input(self._names.outcomes, RecordKind.OUTCOME, place) for place in sorted(places, key=_key)
        ]
        return bool(told) and all(here)

    async def _input(self, topic: str, kind: RecordKind, place: Source) -> bool:
        """The record at a place, and the one that it was moved from."""
        partition = TopicPartition(topic, place.partition)
        span = Span(place.offset, place.offset + 1)
        if not self._spans[partition].begin <= span.begin < self._spans[partition].end:
            return False
        told = await self._all(partition, span, kind)
        for entry in told:
            moved = entry.details.get("moved_from")
            if isinstance(moved, dict):
                await self._input(topic, kind, Source(moved["partition"], moved["offset"]))
        return bool(told)

    async def _first(self, partition: TopicPartition, span: Span, kind: RecordKind) -> bool:
        async for (topic, number), records in self._reader.read({partition: span}):
            if spotted := self._spot(records):
                self.found += self._told(topic, number, kind, spotted)
                return True
        return False

    async def _all(self, partition: TopicPartition, span: Span, kind: RecordKind) -> list[TimelineEntry]:
        told: list[TimelineEntry] = []
        async for (topic, number), records in self._reader.read({partition: span}):
            told += self._told(topic, number, kind, self._spot(records))
        self.found += told
        return told

    def _told(self, topic: str, number: int, kind: RecordKind, records: Sequence[Any]) -> list[TimelineEntry]:
        return [sighting(kind, topic, number, record, self._partitions) for record in records]


def _key(place: Source) -> tuple[int, int]:
    return place.partition, place.offset
