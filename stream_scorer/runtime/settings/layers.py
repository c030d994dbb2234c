"""Layers of settings (file, variables, options) into typed sections.

Invariant: a problem is a line, all are collected.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from stream_scorer.errors import system_words
from stream_scorer.runtime.settings.fields import VARIABLE_PREFIX, Field, settings_fields

# our variables that are not settings: the cache folder, the settings file itself, and parameters of tests
NOT_SETTINGS = re.compile(r"CACHE|SETTINGS|TEST_.*")
# what Kubernetes sets, unasked, in every pod beside a service named stream-scorer or stream-scorer-…
SERVICE_LINKS = re.compile(r"(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?)")

Problems = list[str]
Fields = Mapping[str, Field]
S = TypeVar("S", bound=msgspec.Struct)


class LayerValue(NamedTuple):
    """A value that one layer gives; `as_text`: `8080` may be a number and `true` a truth value."""

    key: str
    value: Any
    where: str
    as_text: bool = False


def read_toml(path: Path, problems: Problems) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append(f"there is no settings file {path}")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"the settings file {path} can't be read: {system_words(error)}")
    except tomllib.TOMLDecodeError as error:
        problems.append(f"the settings file {path} is not TOML: {error}")
    return {}


def read_layers(
    settings: type[S],
    file: Mapping[str, Any],
    file_name: str,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    problems: Problems,
    *,
    secrets: bool,
) -> S:
    """The settings, each from the last layer that gives it; one with a problem keeps its default, the rest is read.
    `secrets`: whether those that stand in files of their own are read too."""
    fields = {field.key: field for field in settings_fields(settings)}
    values: dict[str, Any] = {}
    layers = [
        *from_file(file, file_name, fields, problems),
        *from_variables(environ, fields, problems),
        *(LayerValue(key, value, "given as an option") for key, value in overrides.items()),
    ]
    for given in layers:
        field = fields.get(given.key)
        if field is None:
            problems.append(f"{given.key}: no such setting ({given.where}){did_you_mean(given.key, fields)}")
        elif (converted := convert(field, given, problems)) is not msgspec.UNSET:
            values[given.key] = converted
    if secrets:
        read_secret_files(fields, values, problems)
    sections: dict[str, dict[str, Any]] = {section.name: {} for section in msgspec.structs.fields(settings)}
    for key, value in values.items():
        sections[fields[key].section][fields[key].name] = value
    made = {section.name: section.type(**sections[section.name]) for section in msgspec.structs.fields(settings)}
    return settings(**made)


def from_file(file: Mapping[str, Any], file_name: str, fields: Fields, problems: Problems) -> Iterator[LayerValue]:
    sections = {field.section for field in fields.values()}
    for section, table in file.items():
        if section not in sections:
            problems.append(f"[{section}]: no such section (in {file_name}){did_you_mean(section, sections)}")
            continue
        if not isinstance(table, dict):
            problems.append(f"{section}: must be a section, [{section}] (in {file_name})")
            continue
        for name, value in table.items():
            field = fields.get(f"{section}.{name}")
            if field and field.secret:
                advice = f"set {field.variable} or {field.key}_file"
                problems.append(f"{field.key}: a secret must not stand in {file_name}: {advice}")
            else:
                yield LayerValue(f"{section}.{name}", value, f"in {file_name}")


def from_variables(environ: Mapping[str, str], fields: Fields, problems: Problems) -> Iterator[LayerValue]:
    """What the variables set; an empty one sets nothing, because compose files and shells can't leave one out."""
    by_variable = {field.variable: field for field in fields.values()}
    for variable, text in sorted(environ.items()):
        field = by_variable.get(variable)
        if field and text:
            value = [part.strip() for part in text.split(",") if part.strip()] if field.many else text
            yield LayerValue(field.key, value, f"in {variable}", as_text=True)
        elif not field and variable.startswith(VARIABLE_PREFIX):
            rest = variable.removeprefix(VARIABLE_PREFIX)
            if not NOT_SETTINGS.fullmatch(rest) and not SERVICE_LINKS.fullmatch(rest):
                problems.append(f"{variable}: no such setting{did_you_mean(variable, by_variable)}")


def convert(field: Field, given: LayerValue, problems: Problems) -> Any:
    """The value as the field's type, or UNSET and a problem."""
    value = str(given.value) if isinstance(given.value, Path) else given.value
    try:
        return msgspec.convert(value, field.annotation, strict=not given.as_text)
    except msgspec.ValidationError as error:
        if field.choices and isinstance(value, str):
            reason = f"must be one of {', '.join(field.choices)}{did_you_mean(value, field.choices)}"
        else:
            reason = str(error)[:1].lower() + str(error)[1:]
        shown = "" if field.secret else f"{value!r}: "
        problems.append(f"{field.key}: {shown}{reason} ({given.where})")
        return msgspec.UNSET


def read_secret_files(fields: Fields, values: dict[str, Any], problems: Problems) -> None:
    """Fill each secret from the file that its `…_file` names; a line end after it is not part of it."""
    for key in [field.key for field in fields.values() if field.secret]:
        name = values.get(f"{key}_file")
        if not name:
            continue
        if values.get(key):
            problems.append(f"{key}: set both by itself and by {key}_file; leave one out")
            continue
        try:
            values[key] = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            problems.append(f"{key}_file: {name} can't be read: {reason}")
        else:
            if not values[key]:
                problems.append(f"{key}_file: {name} is empty")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
