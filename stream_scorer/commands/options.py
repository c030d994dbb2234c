"""Options that commands share, and the settings that come of them.

Invariant: option over variable over file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from stream_scorer.runtime.settings.settings import Settings, load_settings

SETTINGS_VARIABLE = "STREAM_SCORER_SETTINGS"

BootstrapOption = Annotated[
    str | None,
    typer.Option(
        "--bootstrap",
        metavar="HOST:PORT",
        help="The broker to connect to (several: separated by commas). Default: the settings.",
    ),
]
SettingsOption = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help=f"Settings as TOML. Default: the file that ${SETTINGS_VARIABLE} names, else none.",
    ),
]
PrefixOption = Annotated[
    str | None,
    typer.Option("--prefix", metavar="TEXT", help="Prefix of the environment's topics. Default: the settings."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def settings_from(
    file: Path | None = None,
    *,
    bootstrap: str | None = None,
    prefix: str | None = None,
    overrides: Mapping[str, object] = {},
    environ: Mapping[str, str] | None = None,
    for_use: bool = True,
) -> Settings:
    """A command's settings: its file (or the variable's), the variables, its options. Raises SettingsError. `for_use`
    off: for commands that only say something about them, on a machine without their secrets."""
    environ = os.environ if environ is None else environ
    named = environ.get(SETTINGS_VARIABLE)
    path = file if file is not None else Path(named) if named else None
    return load_settings(
        path, environ, {"kafka.bootstrap": bootstrap, "topics.prefix": prefix, **overrides}, for_use=for_use
    )
