"""`stream-scorer bench`: a backlog, latency at a fixed rate, joins and restoring, recovery, dead letters, the gateway,
backtests, shadows, and what each part of the hot path costs."""

from collections.abc import Coroutine
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_scorer.commands.bench_report import (
    backlog_rows,
    backtest_rows,
    comparison_rows,
    gateway_rows,
    hot_path_rows,
    join_rows,
    latency_rows,
    letters_rows,
    print_figures,
    recovery_rows,
    shadow_rows,
    switch_rows,
)
from stream_scorer.commands.event_loop import run_fast
from stream_scorer.commands.options import JsonOption
from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
    from stream_scorer.operations.bench.latency import LatencyFigures
    from stream_scorer.operations.bench.throughput import BacklogFigures


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
    switch: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="RATE",
            help="Measure what switches of models, and loading 100 trees, add to latency at this many events a second.",
        ),
    ] = None,
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
    backtest: Annotated[
        bool,
        typer.Option("--backtest", help="Measure a backtest of this many observations, and its parts, instead."),
    ] = False,
    shadows: Annotated[
        int,
        typer.Option(
            min=0,
            max=6,
            help="Deploy shadows: the backlog with none, with one, and so on to this many, in turns; --joins with all.",
        ),
    ] = 0,
    only_disagreements: Annotated[
        bool,
        typer.Option("--only-disagreements", help="Shadow predictions only where decisions differ, with --shadows."),
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
    rounds: Annotated[
        int, typer.Option(min=1, help="Measurements of each, with --against, --shadows or --backtest.")
    ] = 5,
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

    if sum((latency is not None, switch is not None, joins, recovery, letters, gateway, profile, backtest)) > 1:
        raise SettingsError(
            "--latency, --switch, --joins, --recovery, --dead-letters, --gateway, --profile and --backtest are "
            "measured one at a time: choose one"
        )
    others = recovery or letters or gateway or profile or backtest
    if (against is not None or partitions is not None) and (joins or others):
        raise SettingsError("--against and --partitions are for the backlog and for --latency")
    if shadows and (against is not None or latency is not None or others):
        raise SettingsError("--shadows is for the backlog and for --joins")
    quiet_kafka_clients()
    backlog = BacklogPlan(
        events,
        broken_share,
        moved_share,
        delivery,
        model,
        bootstrap,
        partitions=partitions,
        shadows=shadows,
        only_disagreements=only_disagreements,
    )
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
        print_figures(compared, comparison_rows(compared), as_json)
        faults = int(compared.faults)
    elif latency is not None:
        timed = run_fast(measure_latency(plan, _say))
        print_figures(timed, latency_rows(timed), as_json)
        faults = timed.unanswered
    elif switch is not None:
        from stream_scorer.operations.bench.switching import SwitchPlan, measure_switches

        switched = run_fast(measure_switches(SwitchPlan(switch, seconds, warm_up, bootstrap=bootstrap), _say))
        print_figures(switched, switch_rows(switched), as_json)
        faults = switched.unanswered
    elif joins:
        from stream_scorer.operations.bench.join_throughput import measure_joins

        joined = run_fast(measure_joins(events, model, bootstrap, _say, shadows=shadows))
        print_figures(joined, join_rows(joined), as_json)
        faults = joined.unaccounted + joined.duplicated
    elif recovery:
        from stream_scorer.operations.bench.recovery import RecoveryPlan, measure_recovery

        recovered = run_fast(measure_recovery(RecoveryPlan(model=model, bootstrap=bootstrap), _say))
        print_figures(recovered, recovery_rows(recovered), as_json)
        faults = recovered.unaccounted + recovered.duplicated
    elif letters:
        from stream_scorer.operations.bench.dead_letters import LettersPlan, measure_letters

        listed = run_fast(measure_letters(LettersPlan(events, model, bootstrap), _say))
        print_figures(listed, letters_rows(listed), as_json)
        faults = listed.unaccounted + listed.duplicated
    elif profile:
        from stream_scorer.operations.bench.hot_path import measure_hot_path

        parts = run_fast(measure_hot_path(model, _say))
        print_figures(parts, hot_path_rows(parts), as_json)
        faults = 0
    elif gateway:
        from stream_scorer.operations.bench.gateway import GatewayPlan, measure_gateway

        asked = run_fast(measure_gateway(GatewayPlan(seconds, connections, model, bootstrap), _say))
        print_figures(asked, gateway_rows(asked), as_json)
        faults = asked.unaccounted + asked.duplicated + asked.answers_of_other_kinds
    elif backtest:
        from stream_scorer.operations.bench.backtest_throughput import BacktestPlan, measure_backtest

        tested = run_fast(measure_backtest(BacktestPlan(replace(backlog, broken_share=0.0), rounds), _say))
        print_figures(tested, backtest_rows(tested), as_json)
        faults = tested.unaccounted
    elif shadows:
        from stream_scorer.operations.bench.shadow_cost import measure_shadows

        shadowed = run_fast(measure_shadows(backlog, rounds, _say))
        print_figures(shadowed, shadow_rows(shadowed), as_json)
        faults = shadowed.unaccounted + shadowed.duplicated + shadowed.shadows_missing
    else:
        figures = run_fast(measure_backlog(backlog, _say))
        print_figures(figures, backlog_rows(figures), as_json)
        faults = figures.unaccounted + figures.duplicated
    if faults:
        raise typer.Exit(1)


def _say(text: str) -> None:
    typer.echo(text, err=True)
