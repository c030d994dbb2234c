"""`stream-scorer console`: the page for operators, in a process of its own."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.options import BootstrapOption, PrefixOption, SettingsOption, settings_from

if TYPE_CHECKING:
    from stream_scorer.runtime.settings.settings import Settings


def register(app: typer.Typer) -> None:
    app.command()(console)


def console(
    settings: SettingsOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    http_host: Annotated[
        str | None, typer.Option("--http-host", help="The address to listen on. Default: the settings.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option("--http-port", help="The port to listen on; 0 takes any free one.")
    ] = None,
    workers: Annotated[
        list[str] | None,
        typer.Option(
            "--worker",
            metavar="URL",
            help="A worker's status address, http://host:port; repeatable. Default: the settings.",
        ),
    ] = None,
    http_address_file: Annotated[
        Path | None,
        typer.Option(
            "--http-address-file", metavar="FILE", help="Write the address that is served, host:port, to this file."
        ),
    ] = None,
) -> None:
    """Serve the console, web pages with workers, rates, latency and partitions, and actions on dead letters. Ctrl-C
    ends it.

    It is a process beside the workers and does not slow them down. A host name with several addresses stands for one
    worker at each.
    """
    quiet_kafka_clients()
    overrides = {"http.host": http_host, "console.http_port": http_port, "console.workers": workers or None}
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix, overrides=overrides)
    asyncio.run(_serve(resolved, http_address_file))


async def _serve(resolved: "Settings", address_file: Path | None) -> None:
    from stream_scorer.operations.console.server import serve_console
    from stream_scorer.operations.harness.signals import interrupts
    from stream_scorer.runtime.worker.http_server import write_address

    with interrupts() as interrupted:
        async with serve_console(resolved) as (host, port):
            if address_file is not None:
                write_address(address_file, host, port)
            typer.echo(f"Console: http://{'[' + host + ']' if ':' in host else host}:{port} (Ctrl-C ends it)", err=True)
            await interrupted.wait()
