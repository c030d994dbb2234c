"""Options that commands share, and the settings that come of them.

Invariant: option over variable over file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

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


class Environment(NamedTuple):
    """Where a command looks: the options that name the settings file, the broker and the topics' prefix."""

    bootstrap: str | None = None
    prefix: str | None = None
    file: Path | None = None

    def settings(self, overrides: Mapping[str, object]) -> Settings:
        """The environment's settings, with further options by the setting they override, such as `http.port`. Raises
        SettingsError."""
        return settings_from(self.file, bootstrap=self.bootstrap, prefix=self.prefix, overrides=overrides)


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


def environment(
    bootstrap: BootstrapOption = None, prefix: PrefixOption = None, settings: SettingsOption = None
) -> Environment:
    """Option group: an environment, for a command that overrides more of its settings."""
    return Environment(bootstrap, prefix, settings)


def environment_settings(
    bootstrap: BootstrapOption = None, prefix: PrefixOption = None, settings: SettingsOption = None
) -> Settings:
    """Option group: the settings of an environment. Raises SettingsError."""
    return settings_from(settings, bootstrap=bootstrap, prefix=prefix)
