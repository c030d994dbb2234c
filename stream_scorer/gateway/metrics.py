"""What a gateway counts, for Prometheus."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest

from stream_scorer.runtime.metrics.exposition import Histogram, Series, family_text
from stream_scorer.runtime.metrics.gateway_catalogue import (
    BATCH_EVENTS,
    BATCH_IN_FLIGHT,
    BATCH_IN_FLIGHT_MAX,
    IN_FLIGHT,
    IN_FLIGHT_MAX,
    KAFKA_UP,
    REQUEST_SECONDS,
    REQUESTS,
    THROTTLED,
)


class GatewayMetrics:
    """One for each gateway, with the limits in flight of its requests for one event and of its batches' events."""

    def __init__(self, in_flight_max: int, batch_in_flight_max: int) -> None:
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self._requests, self._seconds = Series(REQUESTS), Histogram(REQUEST_SECONDS)
        self._batch_events, self._throttled = Series(BATCH_EVENTS), Series(THROTTLED)
        self._in_flight, self._in_flight_max = Series(IN_FLIGHT), Series(IN_FLIGHT_MAX)
        self._batch_in_flight, self._batch_in_flight_max = Series(BATCH_IN_FLIGHT), Series(BATCH_IN_FLIGHT_MAX)
        self._kafka_up = Series(KAFKA_UP)
        self._in_flight_max.set(in_flight_max)
        self._batch_in_flight_max.set(batch_in_flight_max)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.add(1, route, class_of(status))
        self._seconds.observe(seconds, route)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self._throttled.add()

    def event_answered(self, status: int) -> None:
        """Count an event of a batch."""
        self._batch_events.add(1, class_of(status))

    @contextmanager
    def in_progress(self) -> Iterator[None]:
        """A request for one event is in progress for as long as the block lasts."""
        self._in_flight.add(1)
        try:
            yield
        finally:
            self._in_flight.add(-1)

    @contextmanager
    def batch_waiting(self, events: int) -> Iterator[Callable[[], None]]:
        """So many events of a batch wait for their answers, each until what is given is called for it; none waits any
        more when the block ends."""
        self._batch_in_flight.add(events)

        def answered() -> None:
            nonlocal events
            events -= 1
            self._batch_in_flight.add(-1)

        try:
            yield answered
        finally:
            self._batch_in_flight.add(-events)

    def expose(self, *, kafka_up: bool) -> bytes:
        """The text that Prometheus reads."""
        self._kafka_up.set(kafka_up)
        families = (
            self._requests,
            self._seconds,
            self._batch_events,
            self._throttled,
            self._in_flight,
            self._in_flight_max,
            self._batch_in_flight,
            self._batch_in_flight_max,
            self._kafka_up,
        )
        text = "".join(family_text(one.definition, one.lines()) for one in families)
        return text.encode() + generate_latest(self._process)


def class_of(status: int) -> str:
    """`2xx` for 200."""
    return f"{status // 100}xx"
