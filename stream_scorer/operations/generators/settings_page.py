"""The generated page of settings."""

from collections.abc import Iterator
from inspect import getdoc

import msgspec
from msgspec import inspect

from stream_scorer.operations.generators.markdown import GENERATED, table
from stream_scorer.runtime.settings.fields import Field, settings_fields
from stream_scorer.runtime.settings.settings import Settings


def settings_page() -> list[str]:
    lines = [
        "# Settings",
        GENERATED,
        "",
        "Each setting stands in a TOML file as `name` under its `[section]`, or in the variable beside it; an option "
        "of the command line wins over the variable, the variable over the file. The file is the one given with "
        "`--settings`, else the one that `STREAM_SCORER_SETTINGS` names. An unknown setting is an error, and all "
        "problems are reported at once. An empty variable sets nothing; lists are separated by commas there.",
        "",
        "Secrets never stand in the file: set the variable, or the `_file` setting beside it.",
    ]
    fields = list(settings_fields(Settings))
    for section in msgspec.structs.fields(Settings):
        lines += ["", f"## {section.name}", "", getdoc(section.type) or "", ""]
        rows = [setting_row(field) for field in fields if field.section == section.name]
        lines += table(("setting", "variable", "value", "default", "what it is for"), rows)
    return lines


def setting_row(field: Field) -> tuple[str, str, str, str, str]:
    kind = "secret" if field.secret else allowed(field)
    return f"`{field.name}`", f"`{field.variable}`", kind, default_of(field), field.description


def allowed(field: Field) -> str:
    """What a setting may hold, in words."""
    if field.choices:
        return " · ".join(f"`{choice}`" for choice in field.choices)
    (kind, *_) = [kind for kind in field.kinds if not isinstance(kind, inspect.NoneType)]
    if isinstance(kind, inspect.BoolType):
        return "`true` · `false`"
    if isinstance(kind, inspect.VarTupleType):
        return "list of texts"
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        word = "whole number" if isinstance(kind, inspect.IntType) else "number"
        return " ".join([word, *limits_of(kind)])
    return "text"


def limits_of(kind: inspect.IntType | inspect.FloatType) -> Iterator[str]:
    if kind.ge is not None and kind.le is not None:
        yield f"from {kind.ge:,} to {kind.le:,}"
        return
    for limit, words in ((kind.ge, "from"), (kind.gt, "above"), (kind.le, "up to")):
        if limit is not None:
            yield f"{words} {limit:,}"


def default_of(field: Field) -> str:
    if field.default in ("", (), None):
        return "none" if field.default is None else "empty"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`"
