"""`stream-scorer worker`: one worker in the foreground, until a signal stops it."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from stream_scorer.commands.options import BootstrapOption, PrefixOption, SettingsOption, settings_from
from stream_scorer.errors import SettingsError

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", metavar="DIR", help="The model directory. Default: the default model, trained when first needed."
    ),
]
DeliveryOption = Annotated[
    str | None, typer.Option("--delivery", metavar="NAME", help="exactly-once or at-least-once. Default: the settings.")
]
PortOption = Annotated[
    int | None, typer.Option("--http-port", help="Port of probes, metrics and status; 0 takes any free one.")
]
AddressFileOption = Annotated[
    Path | None,
    typer.Option(
        "--http-address-file", metavar="FILE", help="Write the address that is served, host:port, to this file."
    ),
]


def register(app: typer.Typer) -> None:
    app.command("worker")(worker)


def worker(
    settings: SettingsOption = None,
    bootstrap: BootstrapOption = None,
    prefix: PrefixOption = None,
    model: ModelOption = None,
    delivery: DeliveryOption = None,
    http_port: PortOption = None,
    http_address_file: AddressFileOption = None,
) -> None:
    """Score observations and join outcomes until told to stop (SIGTERM, Ctrl-C). Exit status 75: restart it, Kafka
    was away."""
    overrides = {
        "model.folder": str(model) if model is not None else None,
        "worker.delivery": delivery,
        "http.port": http_port,
    }
    resolved = settings_from(settings, bootstrap=bootstrap, prefix=prefix, overrides=overrides)
    if http_address_file is not None and not http_address_file.parent.is_dir():
        raise SettingsError(f"--http-address-file: there is no folder {http_address_file.parent}; make it first")

    from stream_scorer.runtime.worker.run import run_worker

    status = run_worker(resolved, http_address_file=http_address_file)
    logging.shutdown()
    # a thread that still loads a model would keep the process
    os._exit(status)
