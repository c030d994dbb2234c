"""`stream-scorer gateway`: the HTTP API for clients without Kafka, in a process of its own."""

from typing import TYPE_CHECKING

import typer

from stream_scorer.commands.event_loop import run_fast
from stream_scorer.commands.http_options import HttpListener, http_listener
from stream_scorer.commands.kafka_log_level import quiet_kafka_clients
from stream_scorer.commands.option_groups import with_options
from stream_scorer.commands.options import Environment, environment

if TYPE_CHECKING:
    from stream_scorer.runtime.settings.settings import Settings


def register(app: typer.Typer) -> None:
    app.command()(gateway)


@with_options(environment=environment, listener=http_listener)
def gateway(environment: Environment, listener: HttpListener) -> None:
    """Answer observations and outcomes over HTTP: POST /predict, POST /predict/batch, POST /update. Ctrl-C ends it.

    Any number of gateways may run side by side; each one answers with the results in the topics.
    """
    overrides = {"gateway.http_host": listener.host, "gateway.http_port": listener.port}
    run_fast(_serve(environment.settings(overrides), listener))


async def _serve(resolved: "Settings", listener: HttpListener) -> None:
    from stream_scorer.gateway.server import serve_gateway
    from stream_scorer.operations.harness.signals import interrupts
    from stream_scorer.runtime.worker.log_format import start_logging

    start_logging(resolved.logging.format, resolved.logging.level)
    quiet_kafka_clients()
    with interrupts() as interrupted:
        async with serve_gateway(resolved) as (host, port):
            listener.write(host, port)
            scheme = "https" if resolved.gateway.tls_certificate_file else "http"
            shown = f"[{host}]" if ":" in host else host
            typer.echo(f"Gateway: {scheme}://{shown}:{port} (Ctrl-C ends it)", err=True)
            await interrupted.wait()
