"""`stream-scorer console`: the page for operators, in a process of its own."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from stream_scorer.commands.http_options import HttpListener, http_listener
from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.option_groups import with_options
from stream_scorer.commands.options import Environment, environment

if TYPE_CHECKING:
    from stream_scorer.runtime.settings.settings import Settings


def register(app: typer.Typer) -> None:
    app.command()(console)


@with_options(environment=environment, listener=http_listener)
def console(
    environment: Environment,
    listener: HttpListener,
    workers: Annotated[
        list[str] | None,
        typer.Option(
            "--worker",
            metavar="URL",
            help="A worker's status address, http://host:port; repeatable. Default: the settings.",
        ),
    ] = None,
) -> None:
    """Serve the console, web pages with workers, rates, latency and partitions, and actions on dead letters. Ctrl-C
    ends it.

    It is a process beside the workers and does not slow them down. A host name with several addresses stands for one
    worker at each.
    """
    quiet_kafka_clients()
    overrides = {"http.host": listener.host, "console.http_port": listener.port, "console.workers": workers or None}
    asyncio.run(_serve(environment.settings(overrides), listener))


async def _serve(resolved: "Settings", listener: HttpListener) -> None:
    from stream_scorer.operations.console.server import serve_console
    from stream_scorer.operations.harness.signals import interrupts

    with interrupts() as interrupted:
        async with serve_console(resolved) as (host, port):
            listener.write(host, port)
            typer.echo(f"Console: http://{'[' + host + ']' if ':' in host else host}:{port} (Ctrl-C ends it)", err=True)
            await interrupted.wait()
