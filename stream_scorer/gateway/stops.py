"""`GET /stops/{id}`: what is known of an id now, from the state of the worker that owns it."""

from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from stream_scorer.core.contract.columns import ID_BYTES_MAX
from stream_scorer.core.state.known_stop import KnownStop
from stream_scorer.errors import OutageError, StateLookupError
from stream_scorer.gateway.kafka_link import KafkaLink
from stream_scorer.gateway.problem import Reply, problem, unavailable
from stream_scorer.runtime.cluster.topic_admin import TopicNames
from stream_scorer.runtime.settings.settings import Settings

UNKNOWN: Final = "Nothing is known of this id: it was never sent, is not read yet, or is older than the join window"


class StopViews:
    """Answers look-ups."""

    def __init__(self, settings: Settings, link: KafkaLink) -> None:
        self._names, self._link = TopicNames(settings.topics.prefix), link

    async def view(self, request: web.Request) -> web.Response:
        return (await self.answer(request.match_info["id"])).response()

    async def answer(self, id_: str) -> Reply:
        """The answer to one look-up."""
        try:
            key = id_.encode()
        except UnicodeEncodeError:
            key = b""
        if not 0 < len(key) <= ID_BYTES_MAX:
            return problem(HTTPStatus.BAD_REQUEST, f"An id has 1 to {ID_BYTES_MAX} bytes of UTF-8")
        try:
            known = await self._link.lookup.ask(id_, self._link.client.partitions)
        except (OutageError, StateLookupError) as error:
            return unavailable(str(error))
        if known.status == "unknown":
            return problem(HTTPStatus.NOT_FOUND, UNKNOWN)
        return Reply(HTTPStatus.OK, self._members(known))

    def _members(self, known: KnownStop) -> dict[str, Any]:
        """What a worker says, with the topics of its places."""
        members: dict[str, Any] = msgspec.to_builtins(known)
        if members["prediction"] is not None:
            members["prediction"]["source"] = {
                "topic": self._names.observations,
                **members["prediction"]["source"],
            }
        for waiting in members["waiting"]:
            waiting["source"] = {"topic": self._names.outcomes, **waiting["source"]}
        return members
