"""`stream-scorer offsets`: the committed offsets of the workers' group, shown and set."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.option_groups import with_options
from stream_scorer.commands.options import JsonOption, environment_settings

if TYPE_CHECKING:
    from stream_scorer.runtime.settings.settings import Settings

offsets = typer.Typer(
    name="offsets", help="Show and set the committed offsets of the workers' group.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(offsets)


@offsets.callback()
def group() -> None:
    """Show and set the committed offsets of the workers' group."""


@offsets.command("show")
@with_options(settings=environment_settings)
def show(*, settings: "Settings", as_json: JsonOption = False) -> None:
    """Show each input partition's committed offset and its range of retained records."""
    from stream_scorer.operations.offsets.committed_offsets import show_offsets

    quiet_kafka_clients()
    rows = asyncio.run(show_offsets(settings))
    if as_json:
        typer.echo(json.dumps([row._asdict() for row in rows]))
        return
    for row in rows:
        committed = "not committed" if row.committed is None else f"resumes at {row.committed}"
        typer.echo(f"{row.topic}[{row.partition}]: {committed}, holds {row.begin} to {row.end}")


@offsets.command("set")
@with_options(settings=environment_settings)
def set_(
    *,
    topic: Annotated[str, typer.Option("--topic", metavar="TOPIC", help="The input topic, with its prefix.")],
    partition: Annotated[int, typer.Option("--partition", metavar="N", min=0, help="Its partition.")],
    start: Annotated[
        str, typer.Option("--from", metavar="earliest|latest|N", help="The next offset that the group is to read.")
    ],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the ledger.")],
    settings: "Settings",
    as_json: JsonOption = False,
) -> None:
    """Set the committed offset of an input partition, while no worker runs. The ledger records who did it and why.

    Backwards: invalid records become dead letters again, and records older than the join window are scored again.
    Forwards: the records between are never scored.
    """
    import msgspec

    from stream_scorer.operations.offsets.committed_offsets import set_offset

    quiet_kafka_clients()
    entry = asyncio.run(set_offset(settings, topic, partition, start, why))
    if as_json:
        typer.echo(msgspec.json.encode(entry).decode())
    else:
        before = "not committed" if entry.was is None else f"{entry.was} before"
        typer.echo(f"{topic}[{partition}]: the group resumes at {entry.offset} ({before}); recorded in the ledger")
