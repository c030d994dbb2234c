"""`GET /state/{id}`: what this worker's state knows of an id now, for ids of the lanes that it owns.

Invariant: a look-up is one read of one lane's store, made on the event loop between two batches, so it never meets a
store that is being closed; it says only what was committed; and there are at most `LOOKUPS_PER_S_MAX` a second.
"""

import asyncio
import hmac
import socket
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from stream_scorer.core.contract.columns import ID_BYTES_MAX
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.core.state.entry import unpack
from stream_scorer.core.state.known_stop import KnownStop, known_stop
from stream_scorer.runtime.lanes.lane import Lane
from stream_scorer.runtime.settings.settings import HttpSettings, Settings, is_loopback
from stream_scorer.runtime.web.rate_limit import RateLimit

# A look-up costs the loop about a tenth of a millisecond: visitors take at most a twentieth of it
LOOKUPS_PER_S_MAX: Final = 500
RETRY_AFTER_S: Final = 1
# A prediction can be read once its transaction is committed, and is in the store a moment later
PENDING_WAIT_S, PENDING_LOOK_S = 0.5, 0.005
EVERY_ADDRESS: Final = ("0.0.0.0", "::", "")

_encode: Final = msgspec.json.Encoder().encode


class StateLookup:
    """Answers look-ups. `lanes`: those that the worker has now, by partition."""

    def __init__(
        self,
        http: HttpSettings,
        partitions: int,
        lanes: Callable[[], Mapping[int, Lane]],
        *,
        per_s_max: float = LOOKUPS_PER_S_MAX,
    ) -> None:
        self._token = http.view_token.encode()
        self._is_local = is_loopback(http.host)
        self._partitions, self._lanes = partitions, lanes
        self._rate = RateLimit(per_s_max)

    async def view(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        id_ = request.match_info["id"]
        try:
            key = id_.encode()
        except UnicodeEncodeError:
            key = b""
        if not 0 < len(key) <= ID_BYTES_MAX:
            return _said(HTTPStatus.BAD_REQUEST, "An id has 1 to 200 bytes of UTF-8")
        if not self._rate.admits("", time.monotonic()):
            return _later(HTTPStatus.TOO_MANY_REQUESTS, "More look-ups a second than this worker makes")
        partition = partition_of(key, self._partitions)
        lane = self._lanes().get(partition)
        if lane is None:
            return _said(HTTPStatus.MISDIRECTED_REQUEST, f"Another worker owns partition {partition}")
        await _settled(lane, key)
        found = lane.committed(key)
        if found is None:
            return _later(HTTPStatus.SERVICE_UNAVAILABLE, f"Lane {partition} is {lane.status.value}")
        packed, models = found
        known = known_stop(id_, partition, unpack(packed) if packed is not None else None, models)
        return _answer(HTTPStatus.NOT_FOUND if known.status == "unknown" else HTTPStatus.OK, known)

    def _refused(self, request: web.Request) -> web.Response | None:
        if self._token:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            shown = token.strip().encode("utf-8", "surrogateescape")
            if scheme.lower() == "bearer" and hmac.compare_digest(shown, self._token):
                return None
            refused = _said(HTTPStatus.UNAUTHORIZED, "Show http.view_token: Authorization: Bearer TOKEN")
            refused.headers["WWW-Authenticate"] = 'Bearer realm="stream-scorer"'
            return refused
        if self._is_local:
            return None
        return _said(
            HTTPStatus.FORBIDDEN, "Look-ups beyond loopback need http.view_token, for the workers and the gateways"
        )


async def _settled(lane: Lane, key: bytes) -> None:
    """Wait while a batch that says something of the id is being committed, a little: whoever was answered with a
    prediction a moment ago finds it."""
    deadline_s = time.monotonic() + PENDING_WAIT_S
    while lane.is_pending(key) and time.monotonic() < deadline_s:
        await asyncio.sleep(PENDING_LOOK_S)


def application_server(settings: Settings, host: str, port: int) -> str:
    """Where look-ups reach a worker that listens at `host` and `port`, as the settings or this machine name it."""
    if settings.worker.application_server:
        return settings.worker.application_server
    reached = socket.gethostname() if host in EVERY_ADDRESS else host
    return f"[{reached}]:{port}" if ":" in reached else f"{reached}:{port}"


def _answer(status: int, known: KnownStop) -> web.Response:
    return web.Response(status=status, body=_encode(known), content_type="application/json")


def _said(status: int, message: str) -> web.Response:
    return web.Response(status=status, text=message + "\n")


def _later(status: int, message: str) -> web.Response:
    said = _said(status, message)
    said.headers["Retry-After"] = str(RETRY_AFTER_S)
    return said
