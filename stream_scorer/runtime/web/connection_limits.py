"""Limits on the connections of an HTTP server: how many there are, and how long one may stay without a whole request.

Invariant: a client that sends slowly, half, or nothing costs one connection for `REQUEST_WAIT_S` and keeps nobody else
out: where no connection is left, a new one takes the place of the one that has waited longest.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, cast

from aiohttp import web

CONNECTIONS_MAX: Final = 128
# Of the process's descriptors at most this share is spent on connections: Kafka and the state need the others
DESCRIPTORS_SHARE: Final = 8
CONNECTIONS_MIN: Final = 8
# From the connection, or the end of the request before, to the end of the next request's head
REQUEST_WAIT_S: Final = 10.0
# Between two requests, and for a request as a whole; a request that is being answered is not disturbed before
ANSWER_WAIT_S: Final = 60.0
# What may come in before a request begins to be answered, its body included
REQUEST_BYTES_MAX: Final = 512 * 1024
# Connections that the kernel keeps for us; accepted together at most
BACKLOG: Final = 32

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def connections_max(most: int = CONNECTIONS_MAX, share: int = DESCRIPTORS_SHARE) -> int:
    """How many connections fit one part in `share` of this process's descriptors; `most` at most."""
    try:
        import resource
    except ImportError:  # not made for every system
        return most
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return most
    return max(CONNECTIONS_MIN, min(most, descriptors // share))


class ConnectionLimits:
    """The connections of one server. `limited` makes their protocols, `middleware` says which are being answered,
    `closed` hears why one was closed before its time: `timeout` or `displaced`."""

    def __init__(
        self,
        *,
        connections: int | None = None,
        request_wait_s: float = REQUEST_WAIT_S,
        answer_wait_s: float = ANSWER_WAIT_S,
        body_bytes_max: int = REQUEST_BYTES_MAX,
        request_bytes_max: int = REQUEST_BYTES_MAX,
        closed: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._connections_max = connections or connections_max()
        self._request_wait_s, self._answer_wait_s = request_wait_s, answer_wait_s
        self.closed = closed
        self._request_bytes_max = request_bytes_max
        self._body_bytes_max = max(body_bytes_max, request_bytes_max)
        # those that owe us a request, the longest waiting first; and those that are being answered
        self._waiting: OrderedDict[asyncio.BaseTransport, LimitedProtocol] = OrderedDict()
        self._answered: dict[asyncio.BaseTransport, LimitedProtocol] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._answered)

    @property
    def answered(self) -> int:
        """Connections whose request is being answered."""
        return len(self._answered)

    def limited(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """A factory of protocols within the limits, of one without."""
        return lambda: LimitedProtocol(make(), self)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tell a connection that is being answered from one that waits; the first of an application's."""
        transport = request.transport
        self._begin(transport)
        try:
            return await handler(request)
        finally:
            self._wait(transport)

    def admit(self, transport: asyncio.BaseTransport, protocol: "LimitedProtocol") -> bool:
        """Take up a new connection; False where every other one is being answered."""
        if len(self) >= self._connections_max:
            if not self._waiting:
                return False
            _, longest = self._waiting.popitem(last=False)
            longest.end("displaced")
        self._waiting[transport] = protocol
        protocol.end_in(self._request_wait_s)
        return True

    def forget(self, transport: asyncio.BaseTransport) -> None:
        self._waiting.pop(transport, None)
        self._answered.pop(transport, None)

    def _begin(self, transport: asyncio.BaseTransport | None) -> None:
        if transport is not None and (protocol := self._waiting.pop(transport, None)) is not None:
            self._answered[transport] = protocol
            protocol.answered()
            protocol.end_in(self._answer_wait_s)

    def _wait(self, transport: asyncio.BaseTransport | None) -> None:
        if transport is not None and (protocol := self._answered.pop(transport, None)) is not None:
            self._waiting[transport] = protocol
            protocol.unanswered_bytes = 0
            protocol.end_in(self._request_wait_s)

    def bytes_max(self, transport: asyncio.BaseTransport) -> int:
        """What may come in on a connection: the body of a request that is being answered may be larger."""
        return self._body_bytes_max if transport in self._answered else self._request_bytes_max


class LimitedProtocol(asyncio.Protocol):
    """Hands everything on to the server's own protocol, until the connection's time is over."""

    def __init__(self, inner: asyncio.Protocol, limits: ConnectionLimits) -> None:
        self._inner, self._limits = inner, limits
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.unanswered_bytes = 0
        self._answered = False

    @property
    def _began(self) -> bool:
        return not self._answered or self.unanswered_bytes > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes
        self._transport = connected = cast(asyncio.Transport, transport)
        if not self._limits.admit(connected, self):
            self._transport = None
            connected.abort()
            return
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        self.unanswered_bytes += len(data)
        if self.unanswered_bytes > self._limits.bytes_max(self._transport):
            self.end("timeout")
            return
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._transport is not None else None

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._limits.forget(self._transport)
            self._transport = None
            self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def answered(self) -> None:
        """A request of it is whole but for its body, and is being answered."""
        self._answered, self.unanswered_bytes = True, 0

    def end_in(self, seconds: float) -> None:
        """End the connection after this time; a later call puts the end off or forward."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end, "timeout")

    def end(self, why: str) -> None:
        """Close it at once, whatever is under way."""
        if self._transport is not None:
            # one that has sent nothing since its last answer is kept alive by its client, and owes nothing
            if self._began:
                self._limits.closed(why)
            self._transport.abort()
