"""The control topic of one environment, read on and written by compare-and-set.

Invariant: an act is done only once its record was read back and counts; of two that are written at the same moment
exactly one does, and the other one's writer is told so.
"""

from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_scorer.core.records.model_control import (
    FORMAT,
    ModelControl,
    UnknownFormat,
    decode_control,
    encode_control,
)
from stream_scorer.core.rollout.control import InForce, follow
from stream_scorer.errors import ModelError, OutageError, OvertakenError
from stream_scorer.operations.reading.topic_position import TopicPosition
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.kafka.errors import to_user_error, what_happened

ACTS_KEPT_MAX: Final = 200


class ControlLog:
    """What counts in the control topic, as far as it was read."""

    def __init__(self, topic: str, environment: str) -> None:
        self.environment = environment
        self.in_force: InForce | None = None
        # the last acts that counted, the newest last
        self.acts: list[InForce] = []
        # records of this environment that were too late, and records that are no control records at all
        self.late = self.passed_over = 0
        self._position = TopicPosition(topic)

    async def refresh(self, reader: Reader) -> None:
        """Read on. Raises ModelError at a record of a later version."""
        async for _, records in self._position.read_on(reader):
            for record in records:
                self._follow(record.offset, record.value)

    def _follow(self, offset: int, value: bytes | None) -> None:
        found = follow(self.environment, self.in_force, offset, value)
        if isinstance(found, UnknownFormat):
            raise ModelError(
                f"the control record at offset {offset} has format {found.format}, this version reads up to {FORMAT}: "
                "use the version of stream-scorer that wrote it"
            )
        if found is not None and found is not self.in_force:
            self.in_force = found
            self.acts = [*self.acts, found][-ACTS_KEPT_MAX:]
            return
        control = decode_control(value)
        self.passed_over += control is None
        self.late += isinstance(control, ModelControl) and control.environment == self.environment

    async def append(self, reader: Reader, producer: AIOKafkaProducer, control: ModelControl) -> InForce:
        """Write a control record, and read back whether it counts. Raises OvertakenError where it does not."""
        sent = await producer.send_and_wait(self._position.topic, encode_control(control), control.key, 0)
        await self.refresh(reader)
        # the record in force may be a later one by now, based on this one
        done = next((act for act in reversed(self.acts) if act.offset == sent.offset), None)
        if done is None:
            raise OvertakenError(overtaken(self.in_force))
        return done


def overtaken(in_force: InForce | None) -> str:
    """What is said to whom another one was quicker."""
    if in_force is None:
        return "Another control record came first; nothing was changed. Look at `model status`, then say it again."
    act = in_force.control
    return (
        f"{act.who} was quicker ({act.act.value} at {act.at}); nothing was changed. "
        "Look at `stream-scorer model status`, then say it again if you still want it."
    )


def control_producer(options: Mapping[str, Any]) -> AIOKafkaProducer:
    """For control records and uploads: idempotent, so that the client's retries write nothing twice."""
    return AIOKafkaProducer(**options, enable_idempotence=True, acks="all", max_request_size=2 * 1024 * 1024)


def told(error: BaseException, doing: str, bootstrap: str) -> BaseException:
    """A fault of a Kafka client in our words."""
    if not isinstance(error, KafkaError | OSError | TimeoutError):
        return error
    known = to_user_error(error, doing, bootstrap)
    if known is None or isinstance(known, OutageError):
        return OutageError(
            f"Kafka does not answer at {bootstrap} while {doing}: {what_happened(error)}. "
            "Look at `stream-scorer model status` before you say it again."
        )
    return known
