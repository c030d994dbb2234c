"""`stream-scorer gateway`: the HTTP API for clients without Kafka, in a process of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_scorer.commands.event_loop import run_fast
from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.options import BootstrapOption, PrefixOption, SettingsOption, settings_from

if TYPE_CHECKING:
    from stream_scorer.runtime.settings.settings import Settings


def register(app: typer.Typer) -> None:
    app.command()(gateway)


def gateway(
    settings: SettingsOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    http_host: Annotated[
        str | None, typer.Option("--http-host", help="The address to listen on. Default: the settings.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option("--http-port", help="The port to listen on; 0 takes any free one.")
    ] = None,
    http_address_file: Annotated[
        Path | None,
        typer.Option(
            "--http-address-file", metavar="FILE", help="Write the address that is served, host:port, to this file."
        ),
    ] = None,
) -> None:
    """Answer observations and outcomes over HTTP: POST /predict, POST /predict/batch, POST /update. Ctrl-C ends it.

    Any number of gateways may run side by side; each one answers with the results in the topics.
    """
    overrides = {"gateway.http_host": http_host, "gateway.http_port": http_port}
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix, overrides=overrides)
    run_fast(_serve(resolved, http_address_file))


async def _serve(resolved: "Settings", address_file: Path | None) -> None:
    from stream_scorer.gateway.server import serve_gateway
    from stream_scorer.operations.harness.signals import interrupts
    from stream_scorer.runtime.worker.http_server import write_address
    from stream_scorer.runtime.worker.log_format import start_logging

    start_logging(resolved.logging.format, resolved.logging.level)
    quiet_kafka_clients()
    with interrupts() as interrupted:
        async with serve_gateway(resolved) as (host, port):
            if address_file is not None:
                write_address(address_file, host, port)
            scheme = "https" if resolved.gateway.tls_certificate_file else "http"
            shown = f"[{host}]" if ":" in host else host
            typer.echo(f"Gateway: {scheme}://{shown}:{port} (Ctrl-C ends it)", err=True)
            await interrupted.wait()
