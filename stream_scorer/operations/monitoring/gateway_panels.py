"""Panels about gateways: what is asked over HTTP, how it is answered, and how long that takes."""

from typing import Final

from stream_scorer.operations.monitoring.gateway_alerts import FULL_SHARE, SINGLE
from stream_scorer.operations.monitoring.panels import Panel, Query, runbook
from stream_scorer.operations.monitoring.worker_panels import RATE
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
from stream_scorer.runtime.settings.settings import BusinessSettings

OF: Final = 'job=~"gateway-of-$job"'


def gateways(business: BusinessSettings) -> tuple[Panel, ...]:
    return (
        Panel(
            "Requests",
            "Requests a second, by route and class of status",
            (
                Query(
                    f'sum by (route, status) (rate({REQUESTS.name}{{{OF}, route!="other"}}{RATE}))',
                    "{{route}} {{status}}",
                ),
            ),
            unit="ops",
            stacked=True,
            links=(runbook("StreamScorerGatewayFails"), runbook("StreamScorerNoGateway")),
        ),
        Panel(
            "Time of a request",
            "Half, and 99 of 100, of requests for one event",
            tuple(
                Query(
                    f"histogram_quantile({share}, sum by (le) "
                    f"(rate({REQUEST_SECONDS.name}_bucket{{{OF}, {SINGLE}}}{RATE})))",
                    legend,
                )
                for share, legend in ((0.5, "half"), (0.99, "99 of 100"))
            ),
            unit="s",
            limit=business.latency_ms_max / 1000,
            links=(runbook("StreamScorerGatewaySlow"),),
        ),
        Panel(
            "Events of batches",
            "A second, by class of status",
            (Query(f"sum by (status) (rate({BATCH_EVENTS.name}{{{OF}}}{RATE}))", "{{status}}"),),
            unit="ops",
            stacked=True,
            links=(runbook("StreamScorerGatewayFails"),),
        ),
        Panel(
            "In flight",
            "Share of what may be in flight at once, by gateway. Batches use all of theirs and wait for their turn",
            (
                Query(f"{IN_FLIGHT.name}{{{OF}}} / {IN_FLIGHT_MAX.name}{{{OF}}}", "{{instance}}"),
                Query(f"{BATCH_IN_FLIGHT.name}{{{OF}}} / {BATCH_IN_FLIGHT_MAX.name}{{{OF}}}", "{{instance}} batches"),
            ),
            unit="percentunit",
            limit=FULL_SHARE,
            most=1,
            links=(runbook("StreamScorerGatewayFull"),),
        ),
        Panel(
            "Told to come again",
            "Requests a second that met a limit (429), by gateway",
            (Query(f"rate({THROTTLED.name}{{{OF}}}{RATE})", "{{instance}}"),),
            unit="ops",
            links=(runbook("StreamScorerGatewayThrottles"),),
        ),
        Panel(
            "Kafka answers",
            "1 or 0, by gateway",
            (Query(f"{KAFKA_UP.name}{{{OF}}}", "{{instance}}"),),
            limit=1,
            low_is_bad=True,
            most=1,
            links=(runbook("StreamScorerGatewayKafkaAway"),),
        ),
    )
