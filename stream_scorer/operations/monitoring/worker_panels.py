"""Panels about the workers themselves: what they use of their machines, what they run, what their state takes."""

from stream_scorer.operations.monitoring.panels import Panel, Query, runbook
from stream_scorer.operations.monitoring.rules import JOB as WORKERS
from stream_scorer.runtime.metrics import catalogue as catalogue
from stream_scorer.runtime.metrics.definitions import Definition
from stream_scorer.runtime.settings.settings import Settings

OF = 'job=~"$job"'
RATE = "[$__rate_interval]"


def workers(settings: Settings) -> tuple[Panel, ...]:
    of = f"{{{OF}}}"
    return (
        Panel(
            "Processor",
            "Processors in use, by worker",
            (Query(f"rate(process_cpu_seconds_total{of}{RATE})", "{{instance}}"),),
            links=(runbook("StreamScorerLatencyHigh"), runbook("StreamScorerModelSlow")),
        ),
        Panel(
            "Memory",
            "Resident memory, by worker",
            (Query(f"process_resident_memory_bytes{of}", "{{instance}}"),),
            unit="bytes",
            links=(runbook("StreamScorerWorkerDown"),),
        ),
        Panel(
            "File descriptors",
            "Share of the process's limit",
            (Query(f"process_open_fds{of} / process_max_fds{of}", "{{instance}}"),),
            unit="percentunit",
            limit=0.8,
            most=1,
            links=(runbook("StreamScorerFilesExhausted"),),
        ),
        Panel(
            "Lanes",
            "Open lanes of each worker",
            (
                by_instance(catalogue.LANES),
                Query(f"{catalogue.OPENING_LANES.name}{of}", "{{instance}}, opening"),
            ),
            stacked=True,
            links=(runbook("StreamScorerWorkerNotReady"),),
        ),
        Panel(
            "Rebalances",
            "Rebalances per hour, by worker",
            (Query(f"increase({catalogue.REBALANCES.name}{of}[1h])", "{{instance}}"),),
            links=(runbook("StreamScorerRebalancingOften"),),
        ),
        Panel(
            "Connections",
            "Open connections of each worker's reader to Kafka",
            (by_instance(catalogue.CONNECTIONS),),
            links=(runbook("StreamScorerFilesExhausted"),),
        ),
        Panel(
            "HTTP connections closed",
            "In an hour, by worker: connections that sent no whole request in time, or made room for newer ones: "
            "something scans the port, or polls it without finishing its requests",
            (Query(f"increase({catalogue.HTTP_CONNECTIONS_CLOSED.name}{of}[1h])", "{{instance}}, {{why}}"),),
            links=(runbook("StreamScorerFilesExhausted"),),
        ),
        Panel(
            "What runs",
            "Version and contract of each worker, and its model",
            (Query(f"{catalogue.BUILD.name}{of}", ""),),
            "table",
            width=12,
            links=(runbook("StreamScorerModelsDiffer"),),
        ),
        Panel(
            "Starts",
            "When each worker was started, in the last day",
            (Query(f"changes(process_start_time_seconds{{{WORKERS}, {OF}}}[1d])", "{{instance}}", instant=True),),
            "bargauge",
            width=12,
            links=(runbook("StreamScorerWorkerRestarting"),),
        ),
    )


def state(settings: Settings) -> tuple[Panel, ...]:
    free = f"{catalogue.DISK_FREE.name}{{{OF}}} / {catalogue.DISK_SIZE.name}{{{OF}}}"
    restore = catalogue.RESTORE_SECONDS.name
    return (
        Panel(
            "Ids known",
            "Approximate number, by worker",
            (by_instance(catalogue.STATE_IDS),),
            stacked=True,
            width=6,
            links=(runbook("StreamScorerDiskFull"),),
        ),
        Panel(
            "State on disk",
            "By worker",
            (by_instance(catalogue.STATE_BYTES),),
            unit="bytes",
            stacked=True,
            width=6,
            links=(runbook("StreamScorerDiskFull"),),
        ),
        Panel(
            "Disk free",
            "Share of the disk that holds the state, by worker",
            (Query(free, "{{instance}}"),),
            width=6,
            unit="percentunit",
            limit=settings.business.disk_free_share_min,
            low_is_bad=True,
            most=1,
            links=(runbook("StreamScorerDiskFull"),),
        ),
        Panel(
            "Restoring",
            "Mean time to restore a lane's state, in the time range shown",
            (
                Query(
                    f"sum by (instance) (increase({restore}_sum{{{OF}}}[$__range])) "
                    f"/ (sum by (instance) (increase({restore}_count{{{OF}}}[$__range])) > 0) "
                    f"or sum by (instance) ({restore}_sum{{{OF}}}) / (sum by (instance) ({restore}_count{{{OF}}}) > 0)",
                    "{{instance}}",
                    instant=True,
                ),
            ),
            "bargauge",
            unit="s",
            width=6,
            links=(runbook("StreamScorerWorkerNotReady"),),
        ),
    )


def by_instance(gauge: Definition) -> Query:
    return Query(f"{gauge.name}{{{OF}}}", "{{instance}}")
