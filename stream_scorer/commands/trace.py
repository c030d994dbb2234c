"""`stream-scorer trace ID`: everything that the topics know about an id."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.options import BootstrapOption, JsonOption, PrefixOption, SettingsOption, settings_from
from stream_scorer.commands.time_options import milliseconds_of
from stream_scorer.errors import SettingsError

if TYPE_CHECKING:
    from stream_scorer.operations.audit.id_trace import Trace
    from stream_scorer.runtime.settings.settings import Settings

NOTHING_KNOWN = 1


def register(app: typer.Typer) -> None:
    app.command()(trace)


def trace(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The id of an observation or an outcome.")],
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Read records since this time. Default: all.")
    ] = None,
    read_all: Annotated[
        bool, typer.Option("--read-all", help="Read every topic, for repeats and dead letters of this id too.")
    ] = False,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all records of an id in order of time: where they are and what happened to them.

    Asks the worker that owns the id where its records are. Reads every topic if no worker answers, and with --from or
    --read-all. Shows no personal data. Exit status 1 if no record of the id was found.
    """
    quiet_kafka_clients()
    if not id_:
        raise SettingsError("the id is empty: name one")
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix)
    since_ms = None if since is None else milliseconds_of("--from", since)
    found = asyncio.run(_trace(resolved, id_, since_ms, reads_all=read_all, quiet=as_json))
    if as_json:
        import msgspec

        typer.echo(json.dumps(msgspec.to_builtins(found)))
    elif found.records:
        _print(found)
    else:
        typer.echo(f"no record of {id_} was found ({found.records_read:,} records read)")
    if not found.records:
        raise typer.Exit(NOTHING_KNOWN)


async def _trace(resolved: "Settings", id_: str, since_ms: int | None, *, reads_all: bool, quiet: bool) -> "Trace":
    from stream_scorer.commands.progress import reading_progress
    from stream_scorer.operations.audit.id_trace import trace as trace_topics
    from stream_scorer.operations.audit.id_trace import trace_by_state
    from stream_scorer.runtime.cluster.topic_admin import TopicNames
    from stream_scorer.runtime.kafka.client import client_options

    options, names = client_options(resolved.kafka), TopicNames(resolved.topics.prefix)
    if since_ms is None and not reads_all and (found := await trace_by_state(resolved, names, id_)) is not None:
        return found
    with reading_progress(quiet=quiet) as on_read:
        return await trace_topics(options, names, id_, since_ms=since_ms, on_read=on_read)


def _print(found: "Trace") -> None:
    # plain lines, each as long as it is: a table would cut or squeeze what somebody wants to copy
    rows = [(seen.time, f"{seen.topic}-{seen.partition}@{seen.offset}", seen.what, seen) for seen in found.records]
    where_width, what_width = max(len(row[1]) for row in rows), max(len(row[2]) for row in rows)
    for time, where, what, seen in rows:
        typer.echo(f"{time}  {where:<{where_width}}  {what:<{what_width}}  {'  '.join(_told(seen.details))}".rstrip())
    typer.echo(f"{found.id} belongs on partition {found.partition} ({found.records_read:,} records read)")
    if not found.is_complete:
        typer.echo("Its worker told where these lie. Repeats and dead letters of this id: --read-all")


def _told(details: dict[str, Any]) -> list[str]:
    said = {name: value for name, value in details.items() if value not in ("", [], {}, None)}
    return [f"{name.replace('_', ' ')} {_value(value)}" for name, value in said.items()]


def _value(value: object) -> str:
    if isinstance(value, dict) and {"partition", "offset"} <= set(value):
        topic = f"{value['topic']}-" if "topic" in value else ""
        return f"{topic}{value['partition']}@{value['offset']}"
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    # a header may be anybody's text: nothing in it may speak to the terminal
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
