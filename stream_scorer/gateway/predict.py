"""`POST /predict`: one observation event in, its prediction or its reasons out.

Invariant: what is answered 422 here is what the worker would have dead-lettered, because both use the contract's code;
sending the same event again is always safe.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from stream_scorer.client import Answer, Events, Predicted, Prediction, Redelivered, Rejected, TimedOut
from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.observation_events import decode_observations, validate_observation
from stream_scorer.core.contract.reasons import Code, Reason
from stream_scorer.core.records.record import Headers
from stream_scorer.errors import OutageError, UserError
from stream_scorer.gateway.kafka_link import KafkaLink
from stream_scorer.gateway.problem import Reply, problem, refused, unavailable
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.settings.settings import Settings

log = logging.getLogger(__name__)

SEND_AGAIN: Final = "send the same request again"


class Predictor:
    """Answers observation events, one at a time or many at once."""

    def __init__(self, settings: Settings, link: KafkaLink) -> None:
        self._link = link
        self._timeout_s = settings.gateway.timeout_s
        self._event_bytes_max = settings.worker.event_bytes_max
        self._publishes_rejected = settings.gateway.publish_rejected
        self._published_max = settings.gateway.in_flight_max
        self._publishing: set[asyncio.Task[None]] = set()
        self._topic = TopicNames(settings.topics.prefix).observations

    async def answer(self, value: bytes, headers: Headers) -> Reply:
        """The answer to one event; `headers` go with its record."""
        found = validate_observation(value, self._event_bytes_max)
        if not isinstance(found, ValidEvent):
            self._publish_rejected(value, headers)
            return refused(_status_of(found), found)
        try:
            answer = await self._link.client.ask(value, timeout_s=self._timeout_s, headers=headers)
        except UserError as error:
            return self._failed(error)
        return self._reply(answer)

    async def answer_together(
        self, values: Sequence[bytes], headers: Headers, tell: Callable[[int, Reply], None]
    ) -> None:
        """The same for many events at once: `tell` is called once for each, with its number and its reply, as answers
        come in; all are told in the end."""

        def tell_answer(valid: int, answer: Answer | BaseException) -> None:
            reply = self._failed(answer) if isinstance(answer, BaseException) else self._reply(answer)
            tell(found.positions[valid], reply)

        found = decode_observations(values, self._event_bytes_max)
        for number, broken in found.rejected:
            self._publish_rejected(values[number], headers)
            tell(number, refused(_status_of(broken), broken))
        valid = Events([values[number] for number in found.positions], found.ids, found.codes)
        try:
            client = self._link.client
        except OutageError as error:
            for number in found.positions:
                tell(number, self._failed(error))
            return
        await client.ask_together(valid, tell_answer, timeout_s=self._timeout_s, headers=headers)

    async def stop(self) -> None:
        for task in self._publishing:
            task.cancel()
        await asyncio.gather(*self._publishing, return_exceptions=True)

    def _failed(self, error: BaseException) -> Reply:
        if isinstance(error, OutageError):
            return unavailable(f"{error}; {SEND_AGAIN}")
        if isinstance(error, UserError):
            return problem(HTTPStatus.BAD_GATEWAY, str(error))
        log.error("internal error while answering an event", exc_info=error)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error of the gateway; see its log")

    def _reply(self, answer: Answer) -> Reply:
        match answer:
            case Predicted(prediction):
                return Reply(HTTPStatus.OK, members_of(prediction))
            case Redelivered(_, Prediction() as prediction):
                return Reply(HTTPStatus.OK, members_of(prediction))
            case Redelivered(source, _):
                message = (
                    "This observation was scored before, and its earlier prediction was not found in time: "
                    f"{SEND_AGAIN}, unless it is older than the topic of predictions keeps"
                )
                return problem(HTTPStatus.GATEWAY_TIMEOUT, message, source=(self._topic, source))
            case Rejected(reasons):
                return refused(_status_of(reasons), reasons)
            case TimedOut(None, why):
                return unavailable(f"{why}: {SEND_AGAIN}")
            case TimedOut(source, why):
                assert source is not None
                place = (self._topic, source)
                return problem(HTTPStatus.GATEWAY_TIMEOUT, f"{why}; {SEND_AGAIN} for its prediction", source=place)

    def _publish_rejected(self, value: bytes, headers: Headers) -> None:
        """Send a broken event on, so that it becomes a dead letter; nobody waits for that."""
        if self._publishes_rejected and value and len(self._publishing) < self._published_max:
            task = asyncio.create_task(self._publish(value, headers))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)

    async def _publish(self, value: bytes, headers: Headers) -> None:
        try:
            await self._link.client.ask(value, timeout_s=self._timeout_s, headers=headers)
        except UserError:
            return  # its sender has been told; the letter was an extra


def members_of(prediction: Prediction) -> dict[str, Any]:
    """A prediction as consumers of the topic read it."""
    members: dict[str, Any] = msgspec.to_builtins(prediction)
    return members


def _status_of(reasons: tuple[Reason, ...]) -> HTTPStatus:
    codes = {reason.code for reason in reasons}
    if Code.CONFLICT in codes:
        return HTTPStatus.CONFLICT
    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if Code.TOO_LARGE in codes else HTTPStatus.UNPROCESSABLE_ENTITY
