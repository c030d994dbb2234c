"""How far something has read a topic that only grows, so that the next look reads only what is new."""

from collections.abc import AsyncIterator
from typing import Final

from aiokafka import TopicPartition

from stream_scorer.operations.reading.topic_reader import Reader, Record, Span, Spans

ALL: Final = None


class TopicPosition:
    """Reads a topic on. `tail`: how many of each partition's last offsets the first look reads; None: all of them.
    `stable`: up to the first transaction that is open, so that a look waits for none."""

    def __init__(self, topic: str, *, tail: int | None = ALL, stable: bool = False) -> None:
        self.topic = topic
        self._tail, self._stable = tail, stable
        self._next: dict[TopicPartition, int] = {}

    @property
    def partitions(self) -> int:
        """How many partitions the topic had at the last look; 0 before the first."""
        return len(self._next)

    async def read_on(self, reader: Reader) -> AsyncIterator[tuple[int, list[Record]]]:
        """What was written since the last look: lists of one partition each, with its number, in order."""
        spans = {
            partition: Span(self._begin(partition, span), span.end)
            for partition, span in (await reader.spans([self.topic], stable=self._stable)).items()
        }
        async for partition, records in reader.read(_with_records(spans)):
            yield partition.partition, records
        # only once all was handed on: whoever is interrupted reads it again
        self._next = {partition: max(span.begin, span.end) for partition, span in spans.items()}

    def _begin(self, partition: TopicPartition, span: Span) -> int:
        if partition in self._next:
            return max(span.begin, self._next[partition])
        return span.begin if self._tail is ALL else max(span.begin, span.end - self._tail)


def _with_records(spans: Spans) -> Spans:
    return {partition: span for partition, span in spans.items() if span.begin < span.end}
