"""Every metric that a gateway's process shows.

Invariant: as in the workers' catalogue: base units, and labels whose values are a closed set.
"""

from itertools import product
from typing import Final

from stream_scorer.runtime.metrics.definitions import counter, gauge, histogram, singles

ROUTES: Final = ("predict", "predict_batch", "update", "stops", "other")
CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
BOUNDS_S: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 50.0)

REQUESTS = counter(
    "gateway_requests", "1", "Requests answered, by route and class of status", "route", "status",
    of=tuple(product(ROUTES, CLASSES)),
)  # fmt: skip
REQUEST_SECONDS = histogram(
    "gateway_request_seconds", "seconds", "From a request's head to the end of its answer", BOUNDS_S, "route",
    of=singles(ROUTES),
)  # fmt: skip
BATCH_EVENTS = counter(
    "gateway_batch_events", "1", "Events of batches answered, by class of status", "status", of=singles(CLASSES)
)
THROTTLED = counter(
    "gateway_throttled", "1", "Requests that met a limit, of a client or of the gateway, and were told to come again"
)
IN_FLIGHT = gauge("gateway_in_flight", "1", "Requests for one event in progress now")
IN_FLIGHT_MAX = gauge("gateway_in_flight_max", "1", "How many of them there may be: `gateway.in_flight_max`")
BATCH_IN_FLIGHT = gauge("gateway_batch_in_flight", "1", "Events of batches that wait for their answers now")
BATCH_IN_FLIGHT_MAX = gauge(
    "gateway_batch_in_flight_max", "1", "How many of them may wait at once: `gateway.batch_in_flight_max`"
)
KAFKA_UP = gauge("gateway_kafka_up", "1", "1 while Kafka answers the gateway, else 0")

GATEWAY_CATALOGUE: Final = (
    REQUESTS,
    REQUEST_SECONDS,
    BATCH_EVENTS,
    THROTTLED,
    IN_FLIGHT,
    IN_FLIGHT_MAX,
    BATCH_IN_FLIGHT,
    BATCH_IN_FLIGHT_MAX,
    KAFKA_UP,
)
