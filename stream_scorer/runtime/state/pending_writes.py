"""What a lane knows of its ids: its store, and over it the entries of batches whose transactions are not over yet.

Invariant: an entry is seen by the next batch at once, and reaches the store only after its transaction has committed.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.state.model_ids import ModelIds
from stream_scorer.runtime.state.store import LaneStore

Entries = Mapping[bytes, bytes | None]

# Entries that one tick may look at to find forgotten ones: a few milliseconds of work
SWEPT_AT_ONCE_MAX = 2_000


class PendingWrites:
    """The state of one lane, as the agents see it."""

    def __init__(self, store: LaneStore) -> None:
        self.store = store
        self._in_flight: deque[Entries] = deque()

    @property
    def models(self) -> ModelIds:
        """The lane's numbers for models."""
        return self.store.models

    def find(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """The packed entry of each id, None where nothing is known."""
        if not ids:
            return []
        found = self.store.get_many(ids)
        for entries in self._in_flight:  # the oldest first, so that the newest has the last word
            if not entries.keys().isdisjoint(ids):
                found = [entries.get(id_, kept) for id_, kept in zip(ids, found, strict=True)]
        return found

    def is_pending(self, id_: bytes) -> bool:
        """Whether a batch that is not committed yet, or not written yet, says something of the id."""
        return any(id_ in entries for entries in self._in_flight)

    def stage(self, entries: Entries) -> None:
        """Let the next batches see the entries of a batch that is about to be committed."""
        self._in_flight.append(entries)

    def commit(self, positions: Mapping[str, int], answered: Sequence[tuple[int, bytes]]) -> None:
        """The oldest pending batch has been committed: keep its entries. `positions`: by output topic, where its
        records end."""
        self.store.write(self._in_flight[0].items(), positions, answered=answered)
        self._in_flight.popleft()

    def expired(self, window_starts_ms: int, records_max: int) -> list[tuple[int, bytes]]:
        """(Event time, id) of outcomes that may have waited since before that time, at most so many; none while a batch
        is in flight."""
        return self.store.waiting_before(window_starts_ms, records_max) if not self._in_flight else []

    def evict(self, clock: WindowClock) -> int:
        """Drop some entries from before the join window, and say how many; a bounded piece of work, to be asked for
        again and again."""
        return self.store.sweep(clock, SWEPT_AT_ONCE_MAX)

    def close(self) -> None:
        """Write out what is in memory and give up the folder."""
        self.store.close()
