"""The overview: how the workers and the partitions are doing."""

from typing import NamedTuple

from aiohttp import web
from markupsafe import Markup

from stream_scorer.core.quality.confidence_intervals import Interval
from stream_scorer.operations.console import formatting
from stream_scorer.operations.console.request_context import RequestContext
from stream_scorer.operations.console.snapshots.recorder import Recorder
from stream_scorer.operations.console.snapshots.snapshot import QualityNow, Snapshot
from stream_scorer.operations.console.svg_charts import sparkline
from stream_scorer.runtime.metrics.catalogue import OBSERVATION_ENDS, OUTCOME_ENDS
from stream_scorer.runtime.settings.settings import BusinessSettings

STATES = {"unowned": "no worker", "unknown": "unknown"}
ALL_OBSERVATIONS = tuple(f"observations.{end}" for end in OBSERVATION_ENDS)


class Figure(NamedTuple):
    """One large number."""

    name: str
    value: str
    unit: str = ""
    note: str = ""
    kind: str = ""
    spark: Markup | None = None


async def show(visit: RequestContext) -> web.Response:
    """The page at /."""
    recorder, business = visit.console.recorder, visit.console.settings.business
    now = await recorder.latest()
    figures: list[Figure] = []
    if now is not None:
        figures = worker_figures(now, recorder, business) if now.by_workers else group_figures(now, recorder)
    return visit.page(
        "overview.html",
        section="/",
        now=now,
        trouble=recorder.trouble,
        states=STATES,
        models=sorted({(each.role, each.model, each.threshold) for each in now.workers if each.model}) if now else [],
        figures=figures,
        ends=ends(now, recorder) if now is not None else [],
        quality=quality_rows(now.quality, business) if now is not None and now.quality is not None else [],
    )


def worker_figures(now: Snapshot, recorder: Recorder, business: BusinessSettings) -> list[Figure]:
    predicted, letters = recorder.rate("observations.predicted"), recorder.rate("dead_letters")
    read = recorder.rate(*ALL_OBSERVATIONS)
    refused = recorder.rate("observations.dead_lettered")
    broken = refused / read if refused is not None and read else None
    median_s, slow_s = recorder.latency_s(0.5, 0.99)
    limit_s = business.latency_ms_max / 1000
    oldest_s = max((each.oldest_waiting_s or 0.0 for each in now.partitions), default=0.0)
    found = [
        Figure(
            "Predictions",
            formatting.rate(predicted),
            "per second",
            f"{formatting.count(now.ended.get('observations.predicted', 0))} since the workers started",
            spark=sparkline(recorder.rates("observations.predicted"), "Predictions per second, last five minutes"),
        ),
        Figure(
            "Dead letters",
            formatting.rate(letters),
            "per second",
            f"{formatting.share(broken)} of observations" if broken is not None else "no observations now",
            "bad" if broken is not None and broken > business.dead_letter_share_max else "",
            sparkline(recorder.rates("dead_letters"), "Dead letters per second, last five minutes", "fault"),
        ),
        Figure(
            "Latency, p99",
            formatting.duration(slow_s),
            "last 5 minutes" if slow_s is not None else "",
            f"p50 {formatting.duration(median_s)}, limit {formatting.duration(limit_s)}"
            if slow_s is not None
            else "no predictions in the last 5 minutes",
            "bad" if slow_s is not None and slow_s > limit_s else "",
        ),
        Figure(
            "Lag",
            formatting.count(now.unread + sum(each.held or 0 for each in now.partitions)),
            "records",
            f"oldest {formatting.duration(oldest_s)}" if oldest_s else "no backlog",
            "bad" if oldest_s > business.lag_age_s_max else "",
            sparkline(recorder.unread(), "Records waiting, last five minutes"),
        ),
    ]
    rate = now.quality.success_rate if now.quality is not None else None
    if rate is not None and now.quality is not None:
        enough = now.quality.predicted_positive >= business.success_outcomes_min
        found.append(
            Figure(
                "Success rate",
                formatting.share(rate.value),
                "",
                f"{formatting.share(rate.low)} to {formatting.share(rate.high)}",
                "bad" if enough and rate.high < business.success_rate_min else "",
            )
        )
    return found


def group_figures(now: Snapshot, recorder: Recorder) -> list[Figure]:
    return [
        Figure(
            "Observations read",
            formatting.rate(recorder.rate("observations.read")),
            "per second",
            "committed by the group",
            spark=sparkline(recorder.rates("observations.read"), "Observations read per second, last five minutes"),
        ),
        Figure(
            "Outcomes read",
            formatting.rate(recorder.rate("outcomes.read")),
            "per second",
            "committed by the group",
            spark=sparkline(recorder.rates("outcomes.read"), "Outcomes read per second, last five minutes"),
        ),
        Figure(
            "Lag",
            formatting.count(now.unread),
            "records",
            "behind the group's committed offsets",
            spark=sparkline(recorder.unread(), "Records waiting, last five minutes"),
        ),
    ]


def ends(now: Snapshot, recorder: Recorder) -> list[tuple[str, str, int, float | None]]:
    """Kind of record, end, how many so far, how many a second."""
    rows = []
    for kind, names in (("observation", OBSERVATION_ENDS), ("outcome", OUTCOME_ENDS)):
        for name in names:
            key = f"{kind}s.{name}"
            rows.append((kind, name.replace("_", "-"), now.ended.get(key, 0), recorder.rate(key)))
    return rows


def quality_rows(said: QualityNow, business: BusinessSettings) -> list[tuple[str, Interval | None, int, str]]:
    """Name, value with its interval, of how many, and whether it is fine."""
    rows: list[tuple[str, Interval | None, int, str]] = [
        ("Success rate", said.success_rate, said.predicted_positive, ""),
        ("Recall", said.recall, said.actual_positive, ""),
        ("Predictions with an outcome", said.coverage, said.predictions, ""),
    ]
    for gap in said.gaps:
        kind = "bad" if gap.gap.low > business.group_gap_max else ""
        rows.append((f"Gap by {gap.column} ({gap.highest} over {gap.lowest})", gap.gap, said.predicted_positive, kind))
    return rows
