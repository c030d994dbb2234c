"""What a command prints for scripts."""

import json

import msgspec
import typer


def print_json(found: object) -> None:
    """One line of JSON on standard output. `found`: anything that msgspec makes plain values of."""
    typer.echo(json.dumps(msgspec.to_builtins(found)))
