"""`stream-scorer produce`: events to the observations or outcomes topic, from a file, from standard input, or
generated.
"""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_scorer.commands.dead_letters.options import fix_options
from stream_scorer.commands.file_options import AnywayOption, ColumnsOption, EncodingOption, checked_stops
from stream_scorer.commands.options import BootstrapOption, JsonOption, PrefixOption, SettingsOption, settings_from
from stream_scorer.commands.produce_results import INTERRUPTED, wait_for_answers
from stream_scorer.core.dead_letters.named_fixes import NamedFix
from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
    from stream_scorer.operations.sending.event_sender import EventSender
    from stream_scorer.operations.sending.event_sources import SourceEvent
    from stream_scorer.operations.sending.schedule import ScheduledEvent
    from stream_scorer.runtime.cluster.topic_admin import TopicNames
    from stream_scorer.runtime.settings.settings import Settings

PROGRESS_S = 0.1


class To(StrEnum):
    """Which topic is written."""

    OBSERVATIONS = "observations"
    OUTCOMES = "outcomes"


def register(app: typer.Typer) -> None:
    app.command()(produce)


def produce(
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Send the rows of this CSV file: the ten columns, and `id` and ContrabandIndicator if it has them."
        ),
    ] = None,
    columns: ColumnsOption = None,
    encoding: EncodingOption = None,
    fix: Annotated[
        list[str] | None,
        typer.Option("--fix", metavar="NAME", help=f"Fix each row before it is sent: {', '.join(NamedFix)}."),
    ] = None,
    anyway: AnywayOption = False,
    lines: Annotated[
        str | None,
        typer.Option(help="Send the lines of this file (- for standard input) byte for byte, invalid ones too."),
    ] = None,
    to: Annotated[To, typer.Option(help="The topic for --lines.")] = To.OBSERVATIONS,
    count: Annotated[
        int | None, typer.Option(min=1, help="How many events to send. Default for generated events: 1,000.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Events per second, sent on schedule however slow Kafka is. Default: as fast as possible."
        ),
    ] = None,
    broken_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of generated events that break the contract.")
    ] = 0.0,
    outcome_share: Annotated[
        float, typer.Option("--outcomes", min=0, max=1, help="Share of the known outcomes to send too.")
    ] = 0.0,
    outcome_delay_s: Annotated[
        float,
        typer.Option("--outcome-delay", min=0, help="Mean seconds from an event to its outcome (with --rate)."),
    ] = 2.0,
    keys: Annotated[bool, typer.Option("--key/--no-key", help="Whether each record's key is its id.")] = True,
    id_prefix: Annotated[
        str | None, typer.Option(help="Prefix of generated ids. Default: a new one for each run.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The generator's seed.")] = 1,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for each event's result and print it: its prediction or its reasons.")
    ] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds to wait for each result (with --wait).")
    ] = 10.0,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send observation events (and outcomes) to Kafka: generated ones, rows of a CSV file, or lines of JSON.

    An event counts once Kafka has acknowledged it. Ctrl-C stops and prints how many were acknowledged. With --wait
    the exit status is 1 if an event was refused, else 75 if one had no result in time.
    """
    from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
    from stream_scorer.operations.sending.event_sources import csv_events
    from stream_scorer.runtime.cluster.topic_admin import TopicNames

    quiet_kafka_clients()
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)
    names = TopicNames(resolved.topics.prefix)
    id_prefix = id_prefix or f"{secrets.token_hex(3)}-"
    with ExitStack() as stack:
        if csv and lines:
            raise SettingsError("--csv and --lines can't be combined: choose one source")
        if (csv or lines) and broken_share:
            raise SettingsError("--broken-share is for generated events: events of a file are sent as they are")
        if not csv and (columns or encoding or fix or anyway):
            raise SettingsError("--columns, --encoding, --fix and --anyway are for --csv")
        if csv:
            mended = fix_options(fix=fix)
            file, counts = stack.enter_context(checked_stops(csv, columns, encoding, anyway=anyway))
            events: Iterator[SourceEvent] = islice(csv_events(file, id_prefix, mended), count)
            total: int | None = min(counts.rows, count or counts.rows)
        else:
            events, total = _source(lines, count, broken_share, id_prefix, seed)
        timeline = _timeline(
            events, names, to if lines else To.OBSERVATIONS, rate, keys, outcome_share, outcome_delay_s, seed
        )
        if wait:
            if to is To.OUTCOMES:
                raise SettingsError("--wait is for observations: to follow an outcome, use `stream-scorer trace ID`")
            wait_for_answers(resolved, names, timeline, paced=rate is not None, timeout_s=timeout_s, as_json=as_json)
        result = asyncio.run(_produce(resolved, names, timeline, rate, total, quiet=as_json))
    sentence = (
        f"{result['delivered']:,} events delivered to {names.observations if to is To.OBSERVATIONS else names.outcomes}"
    )
    sentence += f", {result['outcomes']:,} outcomes to {names.outcomes}" if outcome_share else ""
    sentence += f" in {result['seconds']:.1f} s ({result['events_per_s']:,} a second)"
    sentence += (
        f"; {result['refused']:,} events are larger than Kafka accepts and were not sent" if result["refused"] else ""
    )
    typer.echo(json.dumps(result) if as_json else ("Interrupted: " if result["interrupted"] else "") + sentence)
    if result["interrupted"]:
        raise typer.Exit(INTERRUPTED)
    if result["refused"]:
        raise typer.Exit(1)


def _source(
    lines: str | None, count: int | None, broken_share: float, id_prefix: str, seed: int
) -> "tuple[Iterator[SourceEvent], int | None]":
    """The events, and how many there will be where that is known."""
    from stream_scorer.operations.sending import event_sources

    if lines:
        return islice(event_sources.json_line_events(event_sources.lines_of(lines)), count), count
    count = count or 1_000
    return event_sources.generated_events(count, seed=seed, broken_share=broken_share, id_prefix=id_prefix), count


def _timeline(
    events: "Iterator[SourceEvent]",
    names: "TopicNames",
    to: To,
    rate: float | None,
    keys: bool,
    outcome_share: float,
    outcome_delay_s: float,
    seed: int,
) -> "Iterator[ScheduledEvent]":
    from stream_scorer.operations.sending.schedule import OutcomeSchedule, at_rate, in_due_order

    topic = names.observations if to is To.OBSERVATIONS else names.outcomes
    delay_s = outcome_delay_s if rate else 0.0
    outcomes = (
        OutcomeSchedule(topic=names.outcomes, share=outcome_share, delay_s=delay_s, seed=seed)
        if outcome_share
        else None
    )
    return in_due_order(at_rate(events, topic=topic, rate=rate, with_keys=keys, outcomes=outcomes))


async def _produce(
    settings: "Settings",
    names: "TopicNames",
    timeline: "Iterator[ScheduledEvent]",
    rate: float | None,
    total: int | None,
    *,
    quiet: bool,
) -> dict[str, Any]:
    from stream_scorer.operations.harness.signals import interrupts
    from stream_scorer.operations.sending.event_sender import EventSender
    from stream_scorer.operations.sending.scheduled_send import play
    from stream_scorer.runtime.kafka.client import client_options

    started = time.perf_counter()
    async with EventSender(client_options(settings.kafka)) as sender:
        with interrupts() as interrupted:
            shown = asyncio.create_task(_show_progress(sender, total, names, visible=not quiet and sys.stderr.isatty()))
            try:
                await play(sender, timeline, paced=rate is not None, is_over=interrupted.is_set)
            finally:
                shown.cancel()
                await asyncio.gather(shown, return_exceptions=True)
    seconds = time.perf_counter() - started
    delivered = sender.delivered_count
    outcomes = sender.delivered.get(names.outcomes, 0)
    return {
        "delivered": delivered - outcomes if names.observations in sender.delivered else delivered,
        "outcomes": outcomes,
        "refused": sender.refused,
        "seconds": round(seconds, 3),
        "events_per_s": round(delivered / seconds),
        "interrupted": interrupted.is_set(),
    }


async def _show_progress(sender: "EventSender", total: int | None, names: "TopicNames", *, visible: bool) -> None:
    if not visible:
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("delivered", total=total)
        while True:
            bar.update(task, completed=sender.delivered.get(names.observations, 0))
            await asyncio.sleep(PROGRESS_S)
