"""`stream-scorer state`: what lanes keep on this machine; all of it can be made again from the topics."""

from typing import Annotated

import typer

from stream_scorer.commands.options import JsonOption, PrefixOption, SettingsOption, settings_from

state = typer.Typer(
    name="state",
    help="The lanes' state on this machine; workers can always restore it from the topics.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    app.add_typer(state)


@state.callback()
def group() -> None:
    """The lanes' state on this machine; workers can always restore it from the topics."""


@state.command()
def reset(
    partition: Annotated[
        int | None,
        typer.Option("--partition", metavar="N", min=0, help="Only the state of this lane. Default: of all lanes."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
    settings: SettingsOption = None,
    prefix: PrefixOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete this environment's state on this machine. Nothing is lost: workers restore it from the topics at their
    next start, some 100,000 ids a second. If a running worker holds it, nothing is deleted and the exit status is 1."""
    import json

    from stream_scorer.runtime.state.state_directory import bytes_on_disk, delete_stores, find_stores

    folder = settings_from(settings, prefix=prefix).state_path
    found = find_stores(folder, partition)
    sizes = {str(path): bytes_on_disk(path) for path in found}
    if found and not yes:
        names = ", ".join(path.name for path in found)
        typer.confirm(f"Delete {names} in {folder} ({size(sum(sizes.values()))})?", abort=True, err=True)
    deleted = [str(path) for path in delete_stores(folder, partition)] if found else []
    if as_json:
        typer.echo(json.dumps([{"folder": path, "bytes": sizes.get(path, 0)} for path in deleted]))
    elif deleted:
        for path in deleted:
            typer.echo(f"deleted {path} ({size(sizes.get(path, 0))})")
    else:
        typer.echo(f"no state in {folder}")


def size(bytes_: int) -> str:
    return f"{bytes_ / 1024**2:.1f} MiB"
