"""Fetch sessions (KIP-227): a broker remembers which partitions a consumer reads and from where, so that a request
names only those that have moved on, and an answer only those that have something new.

Invariant: a session goes on only behind an answer that was read; after anything else, a lost connection, a time-out, a
rebalance, the next request names every partition again.

Between two small fetches there is a pause: without one, each event would be fetched alone while the transaction in
front of it is still being written.

It reaches into aiokafka 0.14, which is pinned for it: into its fetcher, which sends one request at a time to a node and
takes whatever has `prepare(versions)`.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11

from stream_scorer.runtime.kafka.protocol.fetch_packing import FetchAnswer, FetchLimits, pack_fetch, read_fetched

NO_SESSION: Final = 0
# Asks for a new session, and ends the one that is named
FIRST_EPOCH: Final = 0
EPOCH_MAX: Final = 0x7FFFFFFF
# Behind an answer with fewer bytes than this the next request waits a little for more to come. An event that comes
# alone does not notice: it meets a request that waits in the broker. While a transaction is decided what was fetched
# waits anyway, so a shorter pause only costs requests and transactions (docs/benchmarks.md).
SMALL_BYTES: Final = 64 * 1024
PAUSE_S: Final = 0.005

Place = tuple[str, int]


class FetchSession:
    """What one broker knows of us."""

    def __init__(self) -> None:
        self._id, self._epoch = NO_SESSION, FIRST_EPOCH
        self._offsets: dict[Place, int] = {}
        self._is_answered = True
        self._pause_until_s = 0.0

    async def pause(self) -> None:
        """Return once the next request is worth its cost."""
        if (left_s := self._pause_until_s - time.monotonic()) > 0:
            await asyncio.sleep(left_s)

    def next(self, request: FetchRequest) -> "SessionFetch":
        """The request that asks for the same as aiokafka's own."""
        if not self._is_answered:
            self._epoch = FIRST_EPOCH
        if self._epoch == FIRST_EPOCH:
            self._offsets = {}
        self._is_answered = False
        known, offsets = self._offsets, {}
        partitions: dict[str, list[tuple[int, int, int]]] = {}
        for topic, wanted in request.topics:
            for one in wanted:
                number, offset, _ = one
                offsets[topic, number] = offset
                if known.get((topic, number)) != offset:
                    partitions.setdefault(topic, []).append(one)
        forgotten: dict[str, list[int]] = {}
        for topic, number in known.keys() - offsets.keys():
            forgotten.setdefault(topic, []).append(number)
        self._offsets = offsets
        limits = FetchLimits(request._max_wait_ms, request._min_bytes, request._max_bytes, request._isolation_level)
        return SessionFetch(request, self, pack_fetch(limits, (self._id, self._epoch), partitions, forgotten))

    def decode(self, data: BytesIO) -> FetchAnswer:
        """Read the answer to the last request; the connection calls it as that of the answer's type."""
        packed = data.getvalue()
        answer = read_fetched(packed, data.tell())
        # an error is one of the session: the broker has forgotten it, or was started again
        if answer.error_code or not answer.session_id:
            self._id, self._epoch = NO_SESSION, FIRST_EPOCH
        else:
            self._id, self._epoch = answer.session_id, self._epoch % EPOCH_MAX + 1
        self._is_answered = True
        if answer.topics and len(packed) < SMALL_BYTES:
            self._pause_until_s = time.monotonic() + PAUSE_S
        return answer


class SessionFetch(FetchRequest_v11):
    """A packed Fetch request, as a connection sends it. `topics`: all partitions that are asked for, with those that
    the broker knows already; aiokafka's fetcher holds the answer against them."""

    def __init__(self, request: FetchRequest, session: FetchSession, packed: bytes) -> None:
        self._request, self._packed, self.topics = request, packed, request.topics
        self.RESPONSE_TYPE = session  # only its `decode` is asked for

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> RequestStruct:
        """The request in this version, or aiokafka's own for a broker from before Kafka 2.3."""
        low, high = versions.get(self.API_KEY, (0, -1))
        return self if low <= self.API_VERSION <= high else self._request.prepare(versions)

    def encode(self) -> bytes:
        return self._packed

    def __repr__(self) -> str:
        return f"SessionFetch({self.topics})"


def use_fetch_sessions(consumer: AIOKafkaConsumer) -> Mapping[int, FetchSession]:
    """Have a consumer that was started fetch in sessions; gives them, by the broker's number."""
    fetcher = consumer._fetcher
    sessions: defaultdict[int, FetchSession] = defaultdict(FetchSession)
    fetch = fetcher._proc_fetch_request

    async def fetch_in_session(assignment: Any, node_id: int, request: FetchRequest) -> bool:
        session = sessions[node_id]
        try:
            await session.pause()
        except asyncio.CancelledError:
            return False  # as the fetcher's own does, which is awaited behind its cancellation
        found: bool = await fetch(assignment, node_id, session.next(request))
        return found

    fetcher._proc_fetch_request = fetch_in_session
    return sessions
