"""What a gateway counts, for Prometheus.

Invariant: labels are closed sets, and all their combinations start at 0.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest

ROUTES: Final = ("predict", "predict_batch", "update", "other")
CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
BOUNDS_S: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 50.0)


class GatewayMetrics:
    """One for each gateway."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "stream_scorer_gateway_requests", "Requests answered", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "stream_scorer_gateway_request_seconds",
            "Time from a request's head to the end of its answer",
            ["route"],
            buckets=BOUNDS_S,
            registry=registry,
        )
        self.in_flight = Gauge(
            "stream_scorer_gateway_in_flight", "Events that wait for their answers now", registry=registry
        )
        self.batch_events = Counter(
            "stream_scorer_gateway_batch_events", "Events of batches answered", ["status"], registry=registry
        )
        self._kafka_up = Gauge("stream_scorer_gateway_kafka_up", "1 while Kafka answers, else 0", registry=registry)
        for status in CLASSES:
            self.batch_events.labels(status)
        for route in ROUTES:
            self._seconds.labels(route)
            for status in CLASSES:
                self._requests.labels(route, status)

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, class_of(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def expose(self, *, kafka_up: bool) -> bytes:
        """The text that Prometheus reads."""
        self._kafka_up.set(kafka_up)
        return generate_latest(self._registry)


def class_of(status: int) -> str:
    """`2xx` for 200."""
    return f"{status // 100}xx"
