"""`stream-scorer dead-letters producers`: how well each producer keeps the contract, and a message to send to it."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.option_groups import with_options
from stream_scorer.commands.options import JsonOption, environment_settings
from stream_scorer.commands.terminal_text import printable
from stream_scorer.commands.time_options import milliseconds_of

if TYPE_CHECKING:
    from stream_scorer.core.dead_letters.producer_scorecards import Scorecard
    from stream_scorer.operations.reports.producer_scorecards import Scorecards
    from stream_scorer.runtime.settings.settings import Settings

FAULTS_SHOWN = 5
UNKNOWN_PRODUCER = 1


def register(app: typer.Typer) -> None:
    app.command()(producers)


@with_options(settings=environment_settings)
def producers(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="PRODUCER", help="Print a message to this producer, ready to send.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Count records since this time. Default: all.")
    ] = None,
    settings: "Settings",
    as_json: JsonOption = False,
) -> None:
    """Show a scorecard for each producer: share broken, first reasons, share moved, since when; or the message to one.

    Producers are told apart by their records' headers `client-id` or, where there is none, `ce_source`. What reasons
    quote of a person is masked. Exit status 1 where nothing is known of the producer that is named.
    """
    quiet_kafka_clients()
    since_ms = None if since is None else milliseconds_of("--from", since)
    found = asyncio.run(_scorecards(settings, since_ms, quiet=as_json))
    cards = [card for card in found.cards if name is None or card.producer == name]
    if as_json:
        typer.echo(json.dumps({"producers": [_as_object(card) for card in cards], "records_read": found.records_read}))
    elif name is not None and cards:
        from stream_scorer.core.dead_letters.producer_notices import notice_text

        typer.echo(notice_text(cards[0]), nl=False)
    elif name is not None:
        typer.echo(f"no record of a producer {printable(name)} was found ({found.records_read:,} records read)")
    else:
        _print(found)
    if name is not None and not cards:
        raise typer.Exit(UNKNOWN_PRODUCER)


async def _scorecards(settings: "Settings", since_ms: int | None, *, quiet: bool) -> "Scorecards":
    from stream_scorer.commands.progress import reading_progress
    from stream_scorer.operations.reports.producer_scorecards import scorecards
    from stream_scorer.runtime.cluster.topic_admin import TopicNames
    from stream_scorer.runtime.kafka.client import client_options

    options, names = client_options(settings.kafka), TopicNames(settings.topics.prefix)
    with reading_progress(quiet=quiet) as on_read:
        return await scorecards(options, names, since_ms=since_ms, on_read=on_read)


def _as_object(card: "Scorecard") -> dict[str, Any]:
    import msgspec

    from stream_scorer.core.dead_letters.producer_notices import notice_text

    said: dict[str, Any] = {name: getattr(card, name) for name in card.__struct_fields__ if name != "faults"}
    said |= {"broken_share": card.broken_share, "moved_share": card.moved_share}
    return said | {"faults": msgspec.to_builtins(card.ranked_faults), "message": notice_text(card)}


def _print(found: "Scorecards") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from stream_scorer.core.dead_letters.producer_notices import time_of

    console = Console(highlight=False)
    if not found.cards:
        console.print("No producer has sent anything.")
        return
    table = Table("producer", box=None, pad_edge=False, header_style="bold")
    for column in ("sent", "broken", "share", "moved", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("broken since", no_wrap=True)
    for card in found.cards:
        table.add_row(
            Text(printable(card.producer)),
            f"{card.sent:,}",
            f"{card.broken:,}",
            f"{card.broken_share:.2%}",
            f"{card.moved:,}",
            f"{card.moved_share:.2%}",
            time_of(card.broken_since_ms) if card.broken else "-",
        )
    console.print(table)
    for card in found.cards:
        if card.broken:
            console.print(Text(f"\n{printable(card.producer)}: {_first_reasons(card)}"), soft_wrap=True)
    console.print("\nstream-scorer dead-letters producers PRODUCER prints the message to one of them.", soft_wrap=True)


def _first_reasons(card: "Scorecard") -> str:
    faults = [
        f"{fault.count:,} {fault.code.value}{f' ({fault.field})' if fault.field else ''}"
        for fault in card.ranked_faults
    ]
    more = [f"{len(faults) - FAULTS_SHOWN} more"] if len(faults) > FAULTS_SHOWN else []
    return ", ".join(faults[:FAULTS_SHOWN] + more)
