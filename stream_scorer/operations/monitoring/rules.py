"""What a rule is, and the spans of time that all rules speak in.

Invariant: a span is named once, so that a test can run the same rules a thousand times as fast.
"""

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

JOB: Final = 'job=~"stream-scorer.*"'
GATEWAY_JOB: Final = 'job=~"gateway-of-stream-scorer.*"'
RUNBOOK: Final = "docs/runbook.md"
UNITS_S: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))

Severity = Literal["page", "ticket"]


def span(seconds: int) -> str:
    """A span of time as Prometheus writes it."""
    unit, size = next((unit, size) for unit, size in UNITS_S if seconds % size == 0)
    return f"{seconds // size}{unit}"


class RulePace(NamedTuple):
    """Spans of time in seconds. Counts of outcomes and distributions are taken once an hour and added up from there,
    because looking at 28 days of every scrape each minute would cost more than scoring."""

    scrape_s: int = 15
    evaluation_s: int = 30
    five_minutes_s: int = 300
    half_hour_s: int = 1_800
    hour_s: int = 3_600
    six_hours_s: int = 21_600
    day_s: int = 86_400
    week_s: int = 7 * 86_400
    month_s: int = 28 * 86_400
    minute_s: int = 60

    def minutes(self, count: int) -> str:
        return span(count * self.minute_s)

    @property
    def windows(self) -> dict[str, int]:
        """Over which quality is looked at, by name."""
        return {"day": self.day_s, "week": self.week_s, "month": self.month_s}


@dataclass(frozen=True)
class Recording:
    """A figure that Prometheus works out and keeps under a name. `meaning`: for people."""

    record: str
    expr: str
    meaning: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Alert:
    """When somebody is told. `page`: now; `ticket`: on a working day. The runbook has a section under its name."""

    name: str
    expr: str
    wait: str
    severity: Severity
    summary: str
    description: str


@dataclass(frozen=True)
class RuleGroup:
    """Rules that are worked out together, one after the other, at this interval."""

    name: str
    interval: str
    rules: tuple[Recording | Alert, ...]
