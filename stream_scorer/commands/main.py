"""The console script: every command in one place, and the one boundary where an error becomes a line and an exit
code."""

import importlib
import sys

import typer

import stream_scorer
from stream_scorer.commands.error_exit import exit_with_message
from stream_scorer.private_files import private_umask

COMMANDS = (
    "demo",
    "worker",
    "topics",
    "produce",
    "validate",
    "train",
    "model",
    "backtest",
    "quality",
    "smoke",
    "trace",
    "audit",
    "offsets",
    "dead_letters",
    "console",
    "gateway",
    "bench",
    "broker",
    "state",
    "monitoring",
)

# What they and their children write is their owner's only: state, indexes and run folders quote what events say
KEEPS_STATE = frozenset({"demo", "worker", "dead-letters", "console", "bench", "broker", "state", "smoke"})

app = typer.Typer(
    name="stream-scorer",
    help="Score events on Apache Kafka with scikit-learn models, each exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stream-scorer {stream_scorer.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=show_version, is_eager=True, help="Print the version."),
) -> None:
    """Score events on Apache Kafka with scikit-learn models, each exactly once."""


for command in COMMANDS:
    importlib.import_module(f"stream_scorer.commands.{command}").register(app)


def run() -> None:
    """Run the command line; ends the process. Known errors become one line on standard error, never a traceback."""
    if len(sys.argv) > 1 and sys.argv[1] in KEEPS_STATE:
        private_umask()
    try:
        app()
    except Exception as error:
        sys.exit(exit_with_message(error))
