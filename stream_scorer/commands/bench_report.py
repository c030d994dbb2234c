"""What `stream-scorer bench` prints."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from stream_scorer.operations.bench.backtest_throughput import BacktestFigures
    from stream_scorer.operations.bench.comparison import Comparison
    from stream_scorer.operations.bench.dead_letters import LettersFigures
    from stream_scorer.operations.bench.gateway import GatewayFigures
    from stream_scorer.operations.bench.hot_path import HotPathFigures
    from stream_scorer.operations.bench.join_throughput import JoinFigures
    from stream_scorer.operations.bench.latency import LatencyFigures
    from stream_scorer.operations.bench.recovery import RecoveryFigures
    from stream_scorer.operations.bench.shadow_cost import ShadowFigures
    from stream_scorer.operations.bench.switching import SwitchFigures
    from stream_scorer.operations.bench.throughput import BacklogFigures

    AnyFigures = (
        BacklogFigures
        | LatencyFigures
        | JoinFigures
        | LettersFigures
        | RecoveryFigures
        | GatewayFigures
        | HotPathFigures
        | ShadowFigures
        | SwitchFigures
        | BacktestFigures
        | Comparison
    )

MIB = 1024 * 1024


def backlog_rows(figures: "BacklogFigures") -> list[tuple[str, str]]:
    """A backlog."""
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


def comparison_rows(figures: "Comparison") -> list[tuple[str, str]]:
    """Two revisions beside each other."""
    rows = [
        (name, f"{figures.before[name]:,g} → {now:,g}  ({figures.ratio[name]:.2f}×)")
        for name, now in figures.now.items()
        if name in figures.ratio
    ]
    return [(f"medians of {figures.rounds}", f"{figures.revision} → this tree"), *rows]


def latency_rows(figures: "LatencyFigures") -> list[tuple[str, str]]:
    """Latency at a rate."""
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


def switch_rows(figures: "SwitchFigures") -> list[tuple[str, str]]:
    def row(of: dict[str, float], seconds: float) -> str:
        times = " · ".join(f"{name} {ms:.1f} ms" for name, ms in of.items())
        return f"{times}, in {seconds:.1f} s"

    def added(of: dict[str, float]) -> str:
        return f": {of['p99'] - figures.calm_ms['p99']:+.1f} ms at p99"

    return [
        ("calm", row(figures.calm_ms, figures.calm_s)),
        (
            f"{figures.switches} switches",
            row(figures.switching_ms, figures.switching_s) + added(figures.switching_ms),
        ),
        (
            f"{figures.switches} loads of 100 trees",
            row(figures.loading_ms, figures.loading_s) + added(figures.loading_ms),
        ),
        ("rate", f"{figures.rate:,.0f} events a second, open loop, exactly once"),
        ("unanswered", f"{figures.unanswered:,}"),
    ]


def join_rows(figures: "JoinFigures") -> list[tuple[str, str]]:
    """Joins and restores."""
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


def recovery_rows(figures: "RecoveryFigures") -> list[tuple[str, str]]:
    """Workers that come and go."""
    return [
        ("longest pause with two workers", f"{figures.calm_pause_s:.2f} s without a commit of a partition"),
        ("longest pause while a third joins", f"{figures.joining_pause_s:.2f} s"),
        ("from the kill until all partitions go on", f"{figures.killed_to_commit_s:.2f} s"),
        ("rate", f"{figures.rate:,.0f} events a second"),
        ("missing, doubled", f"{figures.unaccounted:,}, {figures.duplicated:,}"),
    ]


def letters_rows(figures: "LettersFigures") -> list[tuple[str, str]]:
    """Commands on dead letters."""
    return [
        ("dead letters", f"{figures.letters:,}, written at {figures.buried_per_s:,} a second"),
        ("list, no index yet", f"{figures.list_cold_s:.1f} s, {figures.list_peak_memory_bytes / MIB:,.0f} MiB"),
        ("list, with its index", f"{figures.list_warm_s:.1f} s"),
        (f"replay of {figures.replayed:,}, with a fix", f"{figures.replay_s:.1f} s"),
        ("missing, doubled", f"{figures.unaccounted:,}, {figures.duplicated:,}"),
    ]


def shadow_rows(figures: "ShadowFigures") -> list[tuple[str, str]]:
    """A backlog with more and more shadows."""
    return [
        (
            f"{number} shadows",
            f"{each['events_per_s']:,.0f} events a second ({ratio:.2f}×), "
            f"{each['shadow_predictions']:,.0f} shadow predictions, {each['cpu_seconds']:.1f} s of CPU, "
            f"{each['peak_memory_bytes'] / MIB:,.0f} MiB",
        )
        for number, (each, ratio) in enumerate(zip(figures.figures, figures.ratio, strict=True))
    ] + [
        (
            "missing, doubled, owed by shadows",
            f"{figures.unaccounted:,}, {figures.duplicated:,}, {figures.shadows_missing:,}",
        )
    ]


def backtest_rows(figures: "BacktestFigures") -> list[tuple[str, str]]:
    """A backtest, whole and in parts."""
    return [
        ("observations a second", f"{figures.observations_per_s:,} in {figures.processes} processes"),
        ("in one process", f"{figures.alone_per_s:,}"),
        ("observations, with an outcome", f"{figures.observations:,}, {figures.outcomes:,}"),
        ("missing", f"{figures.unaccounted:,}"),
        *((part, f"{us:,.2f} µs · {1e6 / us:,.0f}/s" if us else "0 µs") for part, us in figures.part_us.items()),
        ("all of it", f"{sum(figures.part_us.values()):,.2f} µs of a processor for each observation"),
    ]


def hot_path_rows(figures: "HotPathFigures") -> list[tuple[str, str]]:
    """The parts of the hot path."""
    rows = []
    for path in figures.paths:
        rows.append((f"batches of {path.batch_records:,}", "CPU time an observation, and how many a second alone"))
        rows += [(part, f"{us:,.2f} µs · {1e6 / us:,.0f}/s") for part, us in path.part_us.items()]
        whole_us = sum(path.part_us.values())
        rows.append(("all of it", f"{whole_us:,.2f} µs · {1e6 / whole_us:,.0f}/s"))
    for cost in figures.groups:
        rows.append(
            (
                f"{cost.records} records scored in each of {cost.lanes} lanes",
                f"{cost.grouped_us} µs a batch in a group, {cost.alone_us} µs alone",
            )
        )
    for one in figures.fetches:
        rows.append(
            (f"a fetch for {one.lanes} lanes", f"{one.in_session_us} µs, by the client's tables {one.by_tables_us} µs")
        )
    return rows


def gateway_rows(figures: "GatewayFigures") -> list[tuple[str, str]]:
    """The gateway beside the client."""

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


def print_figures(figures: "AnyFigures", rows: list[tuple[str, str]], as_json: bool) -> None:
    """The rows as a table, on standard error where JSON is asked for."""
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
