"""`stream-scorer broker`: a real Kafka on this machine, without Java or Docker, for trying things out."""

import json
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_scorer.commands.options import JsonOption

if TYPE_CHECKING:
    from stream_scorer.operations.local_broker import LocalBroker
    from stream_scorer.operations.local_broker.background import BackgroundBroker

broker = typer.Typer(name="broker", help="A local Kafka: start it, inspect it, stop it.", no_args_is_help=True)

NOT_RUNNING = 1
LOOK_EVERY_S = 0.5

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        help="The folder of its data and logs.",
        file_okay=False,
        show_default="in the cache folder",
    ),
]


def register(app: typer.Typer) -> None:
    app.add_typer(broker)


@broker.command()
def start(
    folder: FolderOption = None,
    nodes: Annotated[int, typer.Option("--nodes", min=1, max=3, help="How many brokers: 1 or 3.")] = 1,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=1,
            max=65_535,
            help="Port of the first broker; the others take the next ones.",
            show_default="9092 if free",
        ),
    ] = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Run in the foreground; Ctrl-C stops it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start Kafka and leave it running until `broker stop`. The first start downloads it (45 MB)."""
    from stream_scorer.operations.local_broker.background import default_folder, start_standing

    folder = folder or default_folder()
    if foreground:
        run_in_foreground(folder, nodes, port, as_json)
    else:
        show(start_standing(folder, nodes, port, progress), folder, as_json)


@broker.command()
def stop(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Stop the broker that `start` left running. Its data stays for the next start in the same folder."""
    from stream_scorer.operations.local_broker.background import default_folder, stop_standing

    folder = folder or default_folder()
    stopped = stop_standing(folder)
    if as_json:
        typer.echo(json.dumps({"stopped": stopped, "folder": str(folder)}))
    else:
        typer.echo("Stopped." if stopped else f"No broker runs in {folder}.")


@broker.command()
def status(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Show the broker that `start` left running: exit status 0 if every node answers, else 1."""
    from stream_scorer.operations.local_broker.background import default_folder, load_state

    folder = folder or default_folder()
    there = load_state(folder)
    show(there, folder, as_json)
    if there is None or not there.healthy:
        raise typer.Exit(NOT_RUNNING)


def progress(text: str) -> None:
    typer.echo(text, err=True)


def run_in_foreground(folder: Path, nodes: int, port: int | None, as_json: bool) -> None:
    """Keep a broker until a signal asks for its end, or it ends by itself, which is an error."""
    from stream_scorer.operations.local_broker import LocalBroker
    from stream_scorer.operations.local_broker.background import delete_state, refuse_second, save_state, usual_port
    from stream_scorer.runtime.worker.ending_signals import ending_signals

    refuse_second(folder)
    asked_to_end = threading.Event()
    for number in ending_signals():
        signal.signal(number, lambda *_: asked_to_end.set())
    with LocalBroker(folder, nodes, port or usual_port(nodes), progress=progress) as running:
        show(save_state(folder, running), folder, as_json)
        wait_for_end(running, asked_to_end)
    delete_state(folder)


def wait_for_end(running: "LocalBroker", asked_to_end: threading.Event) -> None:
    while not asked_to_end.wait(LOOK_EVERY_S):
        for node in running.nodes:
            node.raise_if_it_died()


def row(there: "BackgroundBroker | None", folder: Path) -> dict[str, Any]:
    nodes = there.nodes if there else ()
    return {
        "running": there is not None and there.running,
        "bootstrap": there.bootstrap if there else None,
        "version": there.version if there else None,
        "folder": str(folder),
        "nodes": [
            {"port": node.port, "pid": node.pid, "running": node.process.running, "answers": node.answers}
            for node in nodes
        ],
    }


def show(there: "BackgroundBroker | None", folder: Path, as_json: bool) -> None:
    facts = row(there, folder)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    if there is None or not facts["running"]:
        typer.echo(f"No broker runs in {folder}.")
        return
    typer.echo(f"Apache Kafka {there.version} at {there.bootstrap}, data in {folder}")
    for number, node in enumerate(facts["nodes"]):
        state = (
            "answers" if node["answers"] else "is running, but does not answer" if node["running"] else "does not run"
        )
        typer.echo(f"  node {number}: port {node['port']}, process {node['pid']}, {state}")
