"""When somebody is told about gateways. An environment without one is quiet."""

from typing import Final

from stream_scorer.operations.monitoring.rules import GATEWAY_JOB, Alert, RulePace, span
from stream_scorer.runtime.metrics.gateway_catalogue import (
    IN_FLIGHT,
    IN_FLIGHT_MAX,
    KAFKA_UP,
    REQUEST_SECONDS,
    REQUESTS,
    THROTTLED,
)
from stream_scorer.runtime.settings.settings import BusinessSettings

# Answers that are nobody's fault but ours, of all
FAILED_SHARE_MAX: Final = 0.05
# Below so many requests in five minutes a share says little
REQUESTS_MIN: Final = 50
FULL_SHARE: Final = 0.9
THROTTLED_SHARE_MAX: Final = 0.05
# A batch takes as long as its events
SINGLE: Final = 'route=~"predict|update"'


def gateway_alerts(business: BusinessSettings, pace: RulePace) -> tuple[Alert, ...]:
    hour, five = span(pace.hour_s), span(pace.five_minutes_s)
    asked = f'(sum by (job) (increase({REQUESTS.name}{{route!="other"}}[{five}])) > {REQUESTS_MIN})'
    failed = f'sum by (job) (increase({REQUESTS.name}{{route!="other", status="5xx"}}[{five}]))'
    return (
        Alert(
            "StreamScorerNoGateway",
            f"count by (job) (count_over_time(up{{{GATEWAY_JOB}}}[{hour}]))\n"
            f"unless count by (job) (up{{{GATEWAY_JOB}}} == 1)",
            pace.minutes(1),
            "page",
            "No gateway runs",
            "Clients without Kafka can't send. Producers with a client of their own, and workers, are not concerned.",
        ),
        Alert(
            "StreamScorerGatewayKafkaAway",
            f"{KAFKA_UP.name} == 0",
            pace.minutes(2),
            "page",
            "Gateway {{ $labels.instance }} does not reach Kafka",
            "It answers 503 to whatever is sent. Clients send again.",
        ),
        Alert(
            "StreamScorerGatewayFails",
            f"{failed} / {asked} > {FAILED_SHARE_MAX}",
            "0s",
            "page",
            "{{ $value | humanizePercentage }} of the gateways' answers are 5xx",
            "No worker answers in time, Kafka is away, or a gateway has a fault. What was acknowledged is not lost.",
        ),
        Alert(
            "StreamScorerGatewaySlow",
            f"histogram_quantile(0.99, sum by (job, le) (rate({REQUEST_SECONDS.name}_bucket{{{SINGLE}}}[{five}])))\n"
            f"> {business.latency_ms_max / 1000}",
            pace.minutes(10),
            "ticket",
            "One request of 100 takes {{ $value | humanizeDuration }}",
            f"More than business.latency_ms_max ({business.latency_ms_max:g} ms) for 10 minutes.",
        ),
        Alert(
            "StreamScorerGatewayFull",
            f"{IN_FLIGHT.name} / {IN_FLIGHT_MAX.name} > {FULL_SHARE}",
            pace.minutes(5),
            "ticket",
            "Gateway {{ $labels.instance }} is full",
            "It answers nearly as many requests for one event at once as it may; more are told to come again (429).",
        ),
        Alert(
            "StreamScorerGatewayThrottles",
            f"sum by (job) (increase({THROTTLED.name}[{five}])) / {asked} > {THROTTLED_SHARE_MAX}",
            pace.minutes(5),
            "ticket",
            "{{ $value | humanizePercentage }} of requests are told to come again",
            "A client sends faster than it may, or the gateways are too few.",
        ),
    )
