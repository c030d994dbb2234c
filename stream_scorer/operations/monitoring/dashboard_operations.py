"""The dashboard about the work: what comes in and where it ends, how long it takes, what waits, how the workers are."""

from stream_scorer.operations.monitoring.gateway_panels import gateways
from stream_scorer.operations.monitoring.panels import JOB, RUNBOOK_WHOLE, Panel, PanelRow, Query, page, runbook
from stream_scorer.operations.monitoring.traffic_rules import BUDGET
from stream_scorer.operations.monitoring.worker_panels import OF, RATE, by_instance, state, workers
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics.definitions import Definition
from stream_scorer.runtime.settings.settings import Settings

VARIABLES = (JOB,)
UID, TITLE = "stream-scorer-operations", "stream-scorer: operations"
OVERVIEW = page("The workers' page", "/")


def rows(settings: Settings) -> tuple[PanelRow, ...]:
    business = settings.business
    return (
        PanelRow("Now", now(settings)),
        PanelRow("What comes in", incoming()),
        PanelRow("How long it takes", times(business.latency_ms_max / 1000, business.model_ms_max / 1000)),
        PanelRow("What waits", waiting(settings)),
        PanelRow("Workers", workers(settings)),
        PanelRow("State", state(settings)),
        PanelRow("Gateways", gateways(business)),
    )


def one(title: str, expr: str, description: str, **how: object) -> Panel:
    """A single number."""
    return Panel(title, description, (Query(expr, "", instant=True),), "stat", width=3, height=4, **how)  # type: ignore[arg-type]


def now(settings: Settings) -> tuple[Panel, ...]:
    business = settings.business
    alerts = 'count(ALERTS{alertstate="firing", alertname=~"StreamScorer.*"}) or vector(0)'
    return (
        one(
            "Workers up",
            f"sum(up{{{OF}}})",
            "Workers that Prometheus reaches",
            limit=1,
            low_is_bad=True,
            links=(runbook("StreamScorerNoWorker"),),
        ),
        one(
            "Ready",
            f"sum({catalogue.READY.name}{{{OF}}})",
            "Workers that have joined, with all lanes open",
            limit=1,
            low_is_bad=True,
            links=(runbook("StreamScorerWorkerNotReady"), OVERVIEW),
        ),
        one(
            "Lanes open",
            f"sum({catalogue.LANES.name}{{{OF}}})",
            "Partitions with an open lane",
            limit=1,
            low_is_bad=True,
            links=(OVERVIEW,),
        ),
        one(
            "Oldest waits",
            f"max(stream_scorer:oldest_uncommitted_record_age_seconds{{{OF}}})",
            "Age of the oldest uncommitted record, in Kafka or in a worker",
            unit="s",
            limit=business.lag_age_s_max,
            links=(runbook("StreamScorerRecordsWait"),),
        ),
        one(
            "Records wait",
            f"sum(stream_scorer:consumer_lag_records{{{OF}}})",
            "Records in Kafka and in the workers",
            links=(runbook("StreamScorerRecordsWait"),),
        ),
        one(
            "Latency, p99",
            f"max(stream_scorer:latency_seconds:p99{{{OF}}})",
            "From an observation's timestamp to its committed prediction",
            unit="s",
            limit=business.latency_ms_max / 1000,
            links=(runbook("StreamScorerLatencyHigh"),),
        ),
        one(
            "Dead letters",
            f"max(stream_scorer:dead_letter_share:15m{{{OF}}})",
            "Share of the last 15 minutes",
            unit="percentunit",
            limit=business.dead_letter_share_max,
            links=(runbook("StreamScorerManyDeadLetters"),),
        ),
        one("Alerts", alerts, "Firing alerts", limit=1, links=(RUNBOOK_WHOLE,)),
    )


def incoming() -> tuple[Panel, ...]:
    batch = catalogue.BATCH_RECORDS.name
    return (
        Panel(
            "Observations",
            "Observations a second, by where they ended",
            (Query(f"sum by (end) (rate({catalogue.OBSERVATIONS.name}{{{OF}}}{RATE}))", "{{end}}"),),
            unit="ops",
            stacked=True,
            links=(OVERVIEW,),
        ),
        Panel(
            "Outcomes",
            "Outcomes a second, by where they ended",
            (Query(f"sum by (end) (rate({catalogue.OUTCOMES.name}{{{OF}}}{RATE}))", "{{end}}"),),
            unit="ops",
            stacked=True,
            links=(runbook("StreamScorerOutcomesMissing"),),
        ),
        Panel(
            "Records a batch",
            "Records per batch: more under load, few when idle",
            (
                Query(quantile(0.5, batch), "half of the batches"),
                Query(quantile(0.99, batch), "99 of 100"),
                Query(mean(batch), "mean"),
            ),
            links=(runbook("StreamScorerRecordsWait"),),
        ),
    )


def times(limit_s: float, model_limit_s: float) -> tuple[Panel, ...]:
    latency, model = catalogue.LATENCY_SECONDS, catalogue.MODEL_SECONDS
    step = catalogue.STEP_SECONDS.name
    quantiles = tuple(
        Query(quantile(share, latency.name), legend)
        for share, legend in ((0.5, "half"), (0.99, "99 of 100"), (0.999, "999 of 1,000"))
    )
    return (
        Panel(
            "Latency",
            "From an observation's timestamp to its committed prediction",
            quantiles,
            unit="s",
            limit=limit_s,
            links=(runbook("StreamScorerLatencyHigh"),),
        ),
        Panel(
            "Within the limits",
            "Share of predictions within the agreed time: end to end, and in the model",
            (
                Query(within(latency, limit_s), f"{limit_s:g} s end to end"),
                Query(within(model, model_limit_s), f"{model_limit_s * 1000:g} ms in the model"),
            ),
            unit="percentunit",
            limit=1 - BUDGET,
            low_is_bad=True,
            most=1,
            links=(runbook("StreamScorerModelSlow"),),
        ),
        Panel(
            "Error budget burn rate",
            "Burn rate of the budget of 1 late prediction in 100, in multiples of the planned rate; from 14.4 on, "
            "over 5 minutes and an hour, an alert pages",
            (Query(f"max by (window) (stream_scorer:latency_burn_rate{{{OF}}})", "over {{window}}"),),
            limit=1,
            links=(runbook("StreamScorerLatencyRising"),),
        ),
        Panel(
            "Time in each step",
            "Mean time of a batch; `fetch` with the wait for records, `validate` of those with a fault in them",
            (
                Query(
                    f"sum by (step) (rate({step}_sum{{{OF}}}{RATE}))\n"
                    f"  / (sum by (step) (rate({step}_count{{{OF}}}{RATE})) > 0)",
                    "{{step}}",
                ),
            ),
            unit="s",
            width=12,
            links=(runbook("StreamScorerLatencyHigh"), runbook("StreamScorerCommitsStalled")),
        ),
        Panel(
            "Time in the model",
            "For each prediction the time of its batch",
            (Query(quantile(0.5, model.name), "half"), Query(quantile(0.99, model.name), "99 of 100")),
            unit="s",
            width=12,
            limit=model_limit_s,
            links=(runbook("StreamScorerModelSlow"),),
        ),
    )


def waiting(settings: Settings) -> tuple[Panel, ...]:
    return (
        Panel(
            "Consumer lag",
            "Uncommitted records in Kafka and in the worker, by worker; and the part that the worker holds",
            (
                by_instance(catalogue.CONSUMER_LAG),
                Query(f"{catalogue.HELD_RECORDS.name}{{{OF}}}", "{{instance}}, held"),
            ),
            links=(runbook("StreamScorerRecordsWait"),),
        ),
        Panel(
            "Oldest record",
            "Age of the oldest uncommitted record, by worker: from its timestamp once it is read; before that, since "
            "the worker first saw it in Kafka",
            (by_instance(catalogue.OLDEST_UNCOMMITTED_RECORD_AGE),),
            unit="s",
            limit=settings.business.lag_age_s_max,
            links=(runbook("StreamScorerRecordsWait"),),
        ),
        Panel(
            "Since the last commit",
            "While records are held, else 0",
            (by_instance(catalogue.COMMIT_AGE),),
            unit="s",
            limit=settings.worker.commit_stall_s,
            links=(runbook("StreamScorerCommitsStalled"),),
        ),
    )


def quantile(share: float, histogram: str) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{{{OF}}}{RATE})))"


def mean(histogram: str) -> str:
    return f"sum(rate({histogram}_sum{{{OF}}}{RATE})) / (sum(rate({histogram}_count{{{OF}}}{RATE})) > 0)"


def within(histogram: Definition, limit_s: float) -> str:
    inside = f'{histogram.name}_bucket{{{OF}, le="{limit_s!r}"}}'
    return f"sum(rate({inside}{RATE})) / (sum(rate({histogram.name}_count{{{OF}}}{RATE})) > 0)"
