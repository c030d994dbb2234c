"""`stream-scorer worker`: one worker in the foreground, until it is told to stop."""

import logging
import os
from pathlib import Path

import typer

from stream_scorer.errors import SettingsError


def register(app: typer.Typer) -> None:
    app.command("worker")(worker)


def worker(
    settings: Path | None = typer.Option(None, "--settings", metavar="FILE", help="Settings as TOML; STREAM_SCORER_… variables win over it."),
    bootstrap: str | None = typer.Option(None, "--bootstrap", metavar="HOST:PORT", help="Kafka brokers to begin with, separated by commas."),
    prefix: str | None = typer.Option(None, "--prefix", help="What the environment's topics begin with."),
    model: Path | None = typer.Option(None, "--model", metavar="DIR", help="The model directory; else the default model, made at first need."),
    delivery: str | None = typer.Option(None, "--delivery", help="exactly-once or at-least-once."),
    http_port: int | None = typer.Option(None, "--http-port", help="Port of probes and metrics; 0: any free one."),
    http_address_file: Path | None = typer.Option(None, "--http-address-file", metavar="FILE", help="Leave the address served, host:port, in this file."),
) -> None:
    """Score observations until told to stop (SIGTERM, Ctrl-C). Exit status 75 means that Kafka was away: start it again."""
    from stream_scorer.runtime.settings import load_settings

    overrides = {
        "kafka.bootstrap": bootstrap,
        "topics.prefix": prefix,
        "model.folder": str(model) if model is not None else None,
        "worker.delivery": delivery,
        "http.port": http_port,
    }
    resolved = load_settings(settings, os.environ, overrides)
    if http_address_file is not None and not http_address_file.parent.is_dir():
        raise SettingsError(f"--http-address-file: there is no folder {http_address_file.parent}")

    from stream_scorer.runtime.worker import run_worker

    status = run_worker(resolved, http_address_file=http_address_file)
    logging.shutdown()
    # a thread that still loads a model would keep the process
    os._exit(status)
