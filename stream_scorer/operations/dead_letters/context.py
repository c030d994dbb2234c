"""What every look at dead letters and every act on them needs.

Invariant: nothing is decided here.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stream_scorer.core.records.dead_letter_reader import DeadLetter, SourcePosition, UnreadableDeadLetter
from stream_scorer.operations.dead_letters.index.index import Index
from stream_scorer.operations.dead_letters.index.rows import origin_number
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.cluster.topic_admin import TopicNames, definitions_for
from stream_scorer.runtime.settings.settings import Settings


@dataclass(frozen=True)
class Context:
    """One environment's letters, as one operator sees them. `reader` is good for one read at a time."""

    settings: Settings
    options: dict[str, Any]
    names: TopicNames
    index: Index
    reader: Reader
    who: str

    @property
    def cap(self) -> int:
        """Replays after which a letter is parked."""
        return self.settings.operator.replays_max

    @cached_property
    def inputs(self) -> tuple[str, str]:
        """The topics that letters may be replayed to."""
        return self.names.observations, self.names.outcomes

    def time_of_replay(self, letter: DeadLetter, clock_ms: int) -> int:
        """The timestamp of a letter's record when it is replayed: its own, because that is when the stop was. One so
        old that its topic's retention would soon delete it, before a worker that is down for a while has read it, is
        replayed with the clock's time; so is one from the future, which the topic may not take."""
        keeps_ms = self.retention_ms[letter.origin.topic]
        is_young = keeps_ms < 0 or clock_ms - letter.timestamp_ms < keeps_ms // 2
        return letter.timestamp_ms if is_young and 0 <= letter.timestamp_ms <= clock_ms else clock_ms

    @cached_property
    def retention_ms(self) -> dict[str, int]:
        """How long each topic keeps its records; negative: for ever."""
        return {topic.name: topic.retention_ms for topic in definitions_for(self.settings)}

    def origin_of(self, letter: DeadLetter | UnreadableDeadLetter) -> SourcePosition:
        """What the ledger knows a letter by: where its record was read; where that is no input of ours, the letter's
        own place."""
        if isinstance(letter, DeadLetter) and letter.origin.topic in self.inputs:
            return letter.origin
        return SourcePosition(self.names.dead_letters, letter.place.partition, letter.place.offset)

    def number_of(self, letter: DeadLetter | UnreadableDeadLetter) -> int:
        """The same as a number."""
        return origin_number(self.origin_of(letter), self.index.sides)
