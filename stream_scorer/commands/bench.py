"""`stream-scorer bench`: a backlog, latency at a fixed rate, joins and restoring, recovery, dead letters, the gateway,
and what each part of the hot path costs."""

from collections.abc import Coroutine
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_scorer.commands.event_loop import run_fast
from stream_scorer.commands.options import JsonOption
from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
    from stream_scorer.operations.bench.comparison import Comparison
    from stream_scorer.operations.bench.dead_letters import LettersFigures
    from stream_scorer.operations.bench.gateway import GatewayFigures
    from stream_scorer.operations.bench.hot_path import HotPathFigures
    from stream_scorer.operations.bench.join_throughput import JoinFigures
    from stream_scorer.operations.bench.latency import LatencyFigures
    from stream_scorer.operations.bench.recovery import RecoveryFigures
    from stream_scorer.operations.bench.throughput import BacklogFigures

    AnyFigures = (
        BacklogFigures
        | LatencyFigures
        | JoinFigures
        | LettersFigures
        | RecoveryFigures
        | GatewayFigures
        | HotPathFigures
        | Comparison
    )

MIB = 1024 * 1024


class DeliveryOption(StrEnum):
    """The worker's delivery guarantee."""

    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"


def register(app: typer.Typer) -> None:
    app.command()(bench)


def bench(
    events: Annotated[int, typer.Option(min=1_000, help="How many events the backlog holds.")] = 400_000,
    latency: Annotated[
        float | None,
        typer.Option(
            min=1, metavar="RATE", help="Measure latency at this many events per second instead, sent on schedule."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, help="Seconds for which latency is measured, after the warm-up.")
    ] = 20.0,
    warm_up: Annotated[
        float,
        typer.Option(min=0, help="Warm-up seconds at that rate, not counted: a broker is slow just after its start."),
    ] = 40.0,
    broken_share: Annotated[float, typer.Option(min=0, max=1, help="Share of events that break the contract.")] = 0.03,
    moved_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the backlog that is on the wrong partition.")
    ] = 0.0,
    joins: Annotated[
        bool, typer.Option("--joins", help="Measure joining outcomes and restoring the state of this many ids instead.")
    ] = False,
    recovery: Annotated[
        bool,
        typer.Option(
            "--recovery", help="Measure how long records wait when a worker joins, and when one is killed, instead."
        ),
    ] = False,
    letters: Annotated[
        bool,
        typer.Option(
            "--dead-letters", help="Measure listing this many dead letters, and replaying 10,000 more, instead."
        ),
    ] = False,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Measure what an observation costs in each part of a worker instead, without Kafka."
        ),
    ] = False,
    gateway: Annotated[
        bool,
        typer.Option(
            "--gateway", help="Measure the HTTP API instead, beside the client's own way: alone, many at once, batches."
        ),
    ] = False,
    connections: Annotated[int, typer.Option(min=1, max=500, help="HTTP connections that ask at once.")] = 96,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=1_000, help="Partitions of each topic, for backlog and latency. Default: 4."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="REVISION",
            help="Also measure the worker of this git revision, in turns with ours; print the medians of both.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each revision, with --against.")] = 5,
    delivery: Annotated[
        DeliveryOption, typer.Option(help="The worker's delivery guarantee.")
    ] = DeliveryOption.EXACTLY_ONCE,
    model: Annotated[Path | None, typer.Option(help="Model directory. Default: the default model.")] = None,
    bootstrap: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Use this Kafka, with temporary topics that are deleted afterwards. Default: a local one.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure one worker from outside, on a Kafka on this machine: events a second over a backlog, latency at a fixed
    rate, joins and restores, pauses when workers join or die, or the commands on dead letters.

    The backlog: from the first to the last committed record, then every record is accounted for. Latency: from when
    an event was due to be sent until its prediction can be read under `read_committed`. Exit status 1 when a record
    is missing or doubled.
    """
    from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
    from stream_scorer.operations.bench.latency import LatencyPlan, measure_latency
    from stream_scorer.operations.bench.throughput import BacklogPlan, measure_backlog

    if sum((latency is not None, joins, recovery, letters, gateway, profile)) > 1:
        raise SettingsError(
            "--latency, --joins, --recovery, --dead-letters, --gateway and --profile are measured one at a time: "
            "choose one"
        )
    if (against is not None or partitions is not None) and (joins or recovery or letters or gateway or profile):
        raise SettingsError("--against and --partitions are for the backlog and for --latency")
    quiet_kafka_clients()
    backlog = BacklogPlan(events, broken_share, moved_share, delivery, model, bootstrap, partitions=partitions)
    plan = LatencyPlan(
        latency or 0.0,
        seconds,
        warm_up,
        broken_share=broken_share,
        delivery=delivery,
        model=model,
        bootstrap=bootstrap,
        partitions=partitions,
    )
    if against is not None:
        from stream_scorer.operations.bench.comparison import compare

        def measure(address: str, tree: Path | None) -> Coroutine[Any, Any, "BacklogFigures | LatencyFigures"]:
            if latency is not None:
                return measure_latency(replace(plan, bootstrap=address, tree=tree), _say)
            return measure_backlog(replace(backlog, bootstrap=address, tree=tree), _say)

        compared = run_fast(compare(measure, against, rounds, bootstrap, _say))
        _print(compared, _comparison_rows(compared), as_json)
        faults = int(compared.faults)
    elif latency is not None:
        timed = run_fast(measure_latency(plan, _say))
        _print(timed, _latency_rows(timed), as_json)
        faults = timed.unanswered
    elif joins:
        from stream_scorer.operations.bench.join_throughput import measure_joins

        joined = run_fast(measure_joins(events, model, bootstrap, _say))
        _print(joined, _join_rows(joined), as_json)
        faults = joined.unaccounted + joined.duplicated
    elif recovery:
        from stream_scorer.operations.bench.recovery import RecoveryPlan, measure_recovery

        recovered = run_fast(measure_recovery(RecoveryPlan(model=model, bootstrap=bootstrap), _say))
        _print(recovered, _recovery_rows(recovered), as_json)
        faults = recovered.unaccounted + recovered.duplicated
    elif letters:
        from stream_scorer.operations.bench.dead_letters import LettersPlan, measure_letters

        listed = run_fast(measure_letters(LettersPlan(events, model, bootstrap), _say))
        _print(listed, _letters_rows(listed), as_json)
        faults = listed.unaccounted + listed.duplicated
    elif profile:
        from stream_scorer.operations.bench.hot_path import measure_hot_path

        parts = run_fast(measure_hot_path(model, _say))
        _print(parts, _hot_path_rows(parts), as_json)
        faults = 0
    elif gateway:
        from stream_scorer.operations.bench.gateway import GatewayPlan, measure_gateway

        asked = run_fast(measure_gateway(GatewayPlan(seconds, connections, model, bootstrap), _say))
        _print(asked, _gateway_rows(asked), as_json)
        faults = asked.unaccounted + asked.duplicated + asked.answers_of_other_kinds
    else:
        figures = run_fast(measure_backlog(backlog, _say))
        _print(figures, _backlog_rows(figures), as_json)
        faults = figures.unaccounted + figures.duplicated
    if faults:
        raise typer.Exit(1)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _backlog_rows(figures: "BacklogFigures") -> list[tuple[str, str]]:
    return [
        ("events a second", f"{figures.events_per_s:,}"),
        ("guarantee", figures.guarantee),
        ("events", f"{figures.events:,} in {figures.seconds:.2f} s"),
        ("predictions", f"{figures.predictions:,}"),
        ("dead letters", f"{figures.dead_letters:,}"),
        ("moved first", f"{figures.moved:,}"),
        ("missing, doubled", f"{figures.unaccounted:,}, {figures.duplicated:,}"),
        ("worker's CPU", f"{figures.cpu_seconds:.1f} s, from its start on"),
        ("worker's peak memory", f"{figures.peak_memory_bytes / MIB:,.0f} MiB"),
        ("worker ready after", f"{figures.ready_s:.1f} s"),
    ]


def _comparison_rows(figures: "Comparison") -> list[tuple[str, str]]:
    rows = [
        (name, f"{figures.before[name]:,g} → {now:,g}  ({figures.ratio[name]:.2f}×)")
        for name, now in figures.now.items()
        if name in figures.ratio
    ]
    return [(f"medians of {figures.rounds}", f"{figures.revision} → this tree"), *rows]


def _latency_rows(figures: "LatencyFigures") -> list[tuple[str, str]]:
    broker_s = figures.broker_cpu_seconds
    return [
        *((name, f"{ms:.1f} ms") for name, ms in figures.latency_ms.items()),
        ("without a worker", " · ".join(f"{name} {ms:.1f} ms" for name, ms in figures.bare_ms.items())),
        ("rate", f"{figures.rate:,.0f} events a second for {figures.seconds:.0f} s, open loop"),
        ("guarantee", figures.guarantee),
        ("measured, unanswered", f"{figures.measured:,}, {figures.unanswered:,}"),
        ("worker's CPU", f"{figures.cpu_seconds:.1f} s"),
        ("broker's CPU", "not on this machine" if broker_s is None else f"{broker_s:.1f} s"),
        ("worker's peak memory", f"{figures.peak_memory_bytes / MIB:,.0f} MiB"),
    ]


def _join_rows(figures: "JoinFigures") -> list[tuple[str, str]]:
    return [
        ("scored a second", f"{figures.scored_per_s:,}"),
        ("joined a second", f"{figures.joined_per_s:,}"),
        ("restored a second, without outcome", f"{figures.restored_per_s:,}"),
        ("restored a second, joined", f"{figures.restored_joined_per_s:,}"),
        ("ready with a local store", f"{figures.ready_with_store_s:.1f} s, with {figures.ids:,} ids"),
        ("on disk", f"{figures.bytes_an_id:.0f} bytes an id, of {figures.id_bytes} bytes"),
        ("missing, doubled", f"{figures.unaccounted:,}, {figures.duplicated:,}"),
        ("worker's peak memory", f"{figures.peak_memory_bytes / MIB:,.0f} MiB"),
    ]


def _recovery_rows(figures: "RecoveryFigures") -> list[tuple[str, str]]:
    return [
        ("longest pause with two workers", f"{figures.calm_pause_s:.2f} s without a commit of a partition"),
        ("longest pause while a third joins", f"{figures.joining_pause_s:.2f} s"),
        ("from the kill until all partitions go on", f"{figures.killed_to_commit_s:.2f} s"),
        ("rate", f"{figures.rate:,.0f} events a second"),
        ("missing, doubled", f"{figures.unaccounted:,}, {figures.duplicated:,}"),
    ]


def _letters_rows(figures: "LettersFigures") -> list[tuple[str, str]]:
    return [
        ("dead letters", f"{figures.letters:,}, written at {figures.buried_per_s:,} a second"),
        ("list, no index yet", f"{figures.list_cold_s:.1f} s, {figures.list_peak_memory_bytes / MIB:,.0f} MiB"),
        ("list, with its index", f"{figures.list_warm_s:.1f} s"),
        (f"replay of {figures.replayed:,}, with a fix", f"{figures.replay_s:.1f} s"),
        ("missing, doubled", f"{figures.unaccounted:,}, {figures.duplicated:,}"),
    ]


def _hot_path_rows(figures: "HotPathFigures") -> list[tuple[str, str]]:
    rows = []
    for path in figures.paths:
        rows.append((f"batches of {path.batch_records:,}", "CPU time an observation, and how many a second alone"))
        rows += [(part, f"{us:,.2f} µs · {1e6 / us:,.0f}/s") for part, us in path.part_us.items()]
        whole_us = sum(path.part_us.values())
        rows.append(("all of it", f"{whole_us:,.2f} µs · {1e6 / whole_us:,.0f}/s"))
    for one in figures.fetches:
        rows.append(
            (f"a fetch for {one.lanes} lanes", f"{one.in_session_us} µs, by the client's tables {one.by_tables_us} µs")
        )
    return rows


def _gateway_rows(figures: "GatewayFigures") -> list[tuple[str, str]]:
    def times(of: dict[str, float]) -> str:
        return " · ".join(f"{name} {ms:.1f} ms" for name, ms in of.items())

    return [
        ("one request alone", f"{times(figures.alone_ms)}: {figures.alone_added_ms:+.2f} ms to the client's median"),
        ("the client's call alone", times(figures.client_alone_ms)),
        (f"predictions a second, {figures.connections} connections", f"{figures.singles_per_s:,}"),
        ("their times", times(figures.singles_ms)),
        (
            "the client's calls, as many at once",
            f"{figures.client_per_s:,} a second ({figures.client_per_s / figures.singles_per_s:.2f}×)",
        ),
        ("their times", times(figures.client_ms)),
        ("observations a second in batches", f"{figures.batch_events_per_s:,}"),
        (
            "the client's own stream",
            f"{figures.client_stream_per_s:,} a second "
            f"({figures.client_stream_per_s / figures.batch_events_per_s:.2f}×)",
        ),
        ("other answers", f"{figures.answers_of_other_kinds:,}"),
        ("missing, doubled", f"{figures.unaccounted:,}, {figures.duplicated:,}"),
        (
            "gateway's memory",
            f"{figures.memory_before_bytes / MIB:,.0f} MiB at first, {figures.memory_peak_bytes / MIB:,.0f} at most",
        ),
        ("gateway's CPU", f"{figures.gateway_cpu_share:.2f} of a processor while many ask"),
    ]


def _print(
    figures: "AnyFigures",
    rows: list[tuple[str, str]],
    as_json: bool,
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(style="bold")
    for row in rows:
        table.add_row(*row)
    Console(stderr=as_json).print(table)
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(figures).decode())
