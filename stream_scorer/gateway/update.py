"""`POST /update`: what was true of a stop in, what is known of it now out."""

import asyncio
from http import HTTPStatus
from typing import Final

from stream_scorer.core.contract import reasons
from stream_scorer.core.contract.batch_decoding import ValidEvent
from stream_scorer.core.contract.outcome_events import validate_outcome
from stream_scorer.core.records.outcome_update import AwaitingPrediction, Joined, Update
from stream_scorer.core.records.record import Headers
from stream_scorer.errors import OutageError, UserError
from stream_scorer.gateway.kafka_link import KafkaLink
from stream_scorer.gateway.outcome_replies import Waiting
from stream_scorer.gateway.predict import SEND_AGAIN
from stream_scorer.gateway.problem import Reply, problem, refused, unavailable
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.settings.settings import Settings

JOINED_MEMBERS: Final = ("id", "true_class", "prediction", "proba", "correct", "revision")


class OutcomeReporter:
    """Answers outcome events."""

    def __init__(self, settings: Settings, link: KafkaLink) -> None:
        self._link, self._timeout_s = link, settings.gateway.timeout_s
        self._topic = TopicNames(settings.topics.prefix).outcomes

    async def answer(self, value: bytes, headers: Headers) -> Reply:
        """The answer to one event; `headers` go with its record."""
        found = validate_outcome(value)
        if not isinstance(found, ValidEvent):
            return refused(HTTPStatus.UNPROCESSABLE_ENTITY, found)
        waiting = Waiting(found.id, asyncio.get_running_loop().create_future())
        try:
            client, replies = self._link.client, self._link.replies
            async with asyncio.timeout(self._timeout_s):
                update = await replies.update_of(
                    found.id, waiting, lambda: client.deliver_outcome(value, headers=headers)
                )
        except TimeoutError:
            return self._timed_out(waiting)
        except OutageError as error:
            return unavailable(f"{error}; {SEND_AGAIN}")
        except UserError as error:
            return problem(HTTPStatus.BAD_GATEWAY, str(error))
        return reply_of(found.id.decode(), update)

    def _timed_out(self, waiting: Waiting) -> Reply:
        if waiting.source is None:
            return unavailable(f"Kafka did not acknowledge it within {self._timeout_s:g} s: {SEND_AGAIN}")
        place = f"{self._topic}-{waiting.source.partition}@{waiting.source.offset}"
        message = (
            f"no answer within {self._timeout_s:g} s: the outcome is at {place} and is joined once a worker has read it"
        )
        return problem(HTTPStatus.GATEWAY_TIMEOUT, f"{message}; {SEND_AGAIN}", source=(self._topic, waiting.source))


def reply_of(id_: str, update: Update | None) -> Reply:
    """The answer that an update is. None: a repeat of which no earlier update was found."""
    if isinstance(update, Joined):
        return Reply(HTTPStatus.OK, {name: getattr(update, name) for name in JOINED_MEMBERS})
    if isinstance(update, AwaitingPrediction):
        return Reply(HTTPStatus.ACCEPTED, {"id": id_, "status": "awaiting_prediction"})
    if update is None:
        return Reply(HTTPStatus.OK, {"id": id_, "status": "repeated"})
    return refused(HTTPStatus.UNPROCESSABLE_ENTITY, (reasons.unknown_id(id_),))
