"""How a batch's outputs and its consumed offsets reach Kafka, as a lane sees it.

Invariant: `publish` returns when Kafka has said yes to every record and, exactly once, to the offsets with them; on any
fault it raises and nothing of the batch is visible to a `read_committed` reader.
"""

from collections.abc import Mapping
from typing import Protocol

from aiokafka import TopicPartition

from stream_scorer.runtime.kafka.record_batches import Ends, Outputs

Offsets = Mapping[TopicPartition, int]


class LaneUnavailableError(Exception):
    """A partition that this lane writes to has no leader. The lane is closed, and reopened once there is one; the
    worker's other lanes go on."""


class Publisher(Protocol):
    """One lane's way out. `commit_s`: what of the last `publish` was the commit."""

    commit_s: float

    async def start(self) -> None:
        """Connect; exactly once, also fence the previous producer of this lane and wait until nothing of theirs is
        undecided."""

    def announce(self) -> None:
        """Say that a small batch is being worked on, for which others may wait a little."""

    async def publish(self, outputs: Outputs, offsets: Offsets) -> Ends:
        """Publish and commit. `offsets`: for each input partition the next offset to read."""

    async def stop(self) -> None:
        """Disconnect; commit nothing more."""
