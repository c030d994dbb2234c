"""Errors as `application/problem+json` (RFC 9457), with the members that clients of old read: `error` and `errors`."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from stream_scorer.core.contract.reasons import Reason
from stream_scorer.core.records.record import Source

PROBLEM_TYPE: Final = "application/problem+json"
# After which a request may be sent again, where it met a limit or an outage
RETRY_AFTER_S: Final = 1

NO_HEADERS: Final[Mapping[str, str]] = {}

encode: Final = msgspec.json.Encoder().encode


class Reply(NamedTuple):
    """What one event is answered: on its own as a response, in a batch as a line. `members`: the JSON object."""

    status: int
    members: Mapping[str, Any]
    headers: Mapping[str, str] = NO_HEADERS

    def line(self) -> bytes:
        """The answer within a batch, without a line end."""
        return encode({"status": self.status} | {name: at for name, at in self.members.items() if name != "status"})

    def response(self) -> web.Response:
        """The answer to a request of its own."""
        content_type = PROBLEM_TYPE if self.status >= HTTPStatus.BAD_REQUEST else "application/json"
        return web.Response(
            status=self.status, body=encode(self.members), content_type=content_type, headers=dict(self.headers)
        )


def problem(
    status: int,
    message: str,
    reasons: Sequence[Reason] = (),
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    source: tuple[str, Source] | None = None,
) -> Reply:
    """An error. `source`: the topic and place where the event lies, where it lies anywhere."""
    members: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": message,
        "error": message,
        "errors": list(reasons),
    }
    if source is not None:
        topic, place = source
        members["source"] = {"topic": topic, "partition": place.partition, "offset": place.offset}
    return Reply(status, members, headers)


def refused(status: int, reasons: Sequence[Reason]) -> Reply:
    """An event that breaks the contract, with every reason; `error` is the first one's message."""
    return problem(status, reasons[0].message, reasons)


def unavailable(message: str) -> Reply:
    """Kafka is away."""
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, message, headers={"Retry-After": str(RETRY_AFTER_S)})


def too_many(message: str, *, retry_after_s: int = RETRY_AFTER_S) -> Reply:
    """A limit was met; the same request passes later."""
    return problem(HTTPStatus.TOO_MANY_REQUESTS, message, headers={"Retry-After": str(retry_after_s)})
