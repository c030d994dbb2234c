"""`stream-scorer demo`: everything at once on this machine, live in the terminal."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_scorer.commands.file_options import AnywayOption, ColumnsOption, EncodingOption, checked_stops
from stream_scorer.commands.options import JsonOption
from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
    from stream_scorer.operations.demo.live_counts import LiveCounts
    from stream_scorer.operations.demo.run import DemoPlan
    from stream_scorer.operations.demo.summary import DemoSummary
    from stream_scorer.operations.demo.terminal_view import Scene

FRAMES_PER_S = 4
LINE_EVERY_S = 2.0
RATE, ROLLOUT_RATE = 200.0, 400.0

Show = Callable[["LiveCounts", "Scene"], None]


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Seconds to run before it counts and stops. Default: until Ctrl-C.")
    ] = None,
    rollout: Annotated[
        bool,
        typer.Option(
            "--rollout",
            help="Put models into production meanwhile, told as a story of about two minutes (or --seconds): shadows, "
            "evidence, a withdrawal, a canary, a promotion.",
        ),
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Observations per second. Default: 200, with --rollout 400.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Send the rows of this CSV file, each once, instead of generated stops.")
    ] = None,
    columns: ColumnsOption = None,
    encoding: EncodingOption = None,
    anyway: AnywayOption = False,
    http_port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the console; 0: any free one.")] = 0,
    gateway_port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the gateway; 0: any free one.")] = 0,
    model: Annotated[
        Path | None, typer.Option(help="Model directory. Default: the default model, trained when first needed.")
    ] = None,
    outcomes: Annotated[
        bool, typer.Option("--outcomes/--no-outcomes", help="Whether to send outcomes (and repeats) too.")
    ] = True,
    bootstrap: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Use this Kafka, with temporary topics that are deleted afterwards. Default: start one.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run Kafka, a worker, the console and a gateway on this machine, send a realistic stream of stops, and show the
    results live.

    Needs neither Java nor Docker. Ctrl-C stops the stream; the demo then waits for every record that it sent and
    counts where each ended.
    """
    from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
    from stream_scorer.operations.demo.run import DemoPlan

    if rollout and (csv is not None or model is not None or not outcomes):
        raise SettingsError(
            "--rollout brings its own models, stops and outcomes: leave --csv, --model and --no-outcomes out"
        )
    quiet_kafka_clients()
    plan = DemoPlan(
        rate=rate or (ROLLOUT_RATE if rollout else RATE),
        seconds=seconds,
        http_port=http_port,
        gateway_port=gateway_port,
        model=model,
        with_outcomes=outcomes,
        bootstrap=bootstrap,
        rollout=rollout,
    )
    with ExitStack() as stack:
        if csv is not None:
            file, counts = stack.enter_context(checked_stops(csv, columns, encoding, anyway=anyway))
            plan = replace(plan, csv=file, rows=counts.rows)
        summary = _run(plan, as_json=as_json)
    _print(summary, as_json=as_json)
    if not summary.is_fine:
        raise typer.Exit(1)


def _run(plan: "DemoPlan", *, as_json: bool) -> "DemoSummary":
    from stream_scorer.operations.demo.run import run_demo

    is_live = not as_json and sys.stdout.isatty()
    with _live() if is_live else _lines() as show:
        return asyncio.run(run_demo(plan, say=lambda text: typer.echo(text, err=True), show=show))


@contextmanager
def _live() -> Iterator[Show]:
    """The live view; the terminal is the user's again afterwards."""
    from rich.console import Console
    from rich.live import Live

    from stream_scorer.operations.demo.rollout_view import render_story
    from stream_scorer.operations.demo.terminal_view import render

    console = Console()
    live = Live(console=console, screen=True, auto_refresh=False)
    shown_at = 0.0

    def show(seen: "LiveCounts", scene: "Scene") -> None:
        nonlocal shown_at
        if not live.is_started:
            live.start()
        if time.monotonic() - shown_at >= 1 / FRAMES_PER_S:
            shown_at = time.monotonic()
            draw = render if scene.story is None else render_story
            live.update(draw(seen, scene, height=console.height), refresh=True)

    try:
        yield show
    finally:
        live.stop()


@contextmanager
def _lines() -> Iterator[Show]:
    """A line now and then on standard error, for where there is no terminal or standard output is for a script."""
    from stream_scorer.operations.demo.rollout_view import story_line
    from stream_scorer.operations.demo.terminal_view import line

    shown_at = 0.0

    def show(seen: "LiveCounts", scene: "Scene") -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= LINE_EVERY_S:
            shown_at = time.monotonic()
            typer.echo(line(seen, scene) + story_line(scene), err=True)

    yield show


def _print(summary: "DemoSummary", *, as_json: bool) -> None:
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(summary).decode())
        return
    from rich.console import Console

    from stream_scorer.operations.demo.summary_text import render_summary

    Console().print(render_summary(summary))
