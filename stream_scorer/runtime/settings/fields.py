"""What sections say of their settings: name, variable, types, secrecy.

Invariant: no setting is written down twice.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

VARIABLE_PREFIX = "STREAM_SCORER_"
SECRET = msgspec.Meta(extra={"secret": True})
MASK = "***"


class Field(NamedTuple):
    """One setting."""

    section: str
    name: str
    kinds: tuple[inspect.Type, ...]  # what it may hold
    annotation: Any
    default: object
    description: str
    secret: bool

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        return f"{VARIABLE_PREFIX}{self.section}_{self.name}".upper()

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it may have, where they can be counted."""
        return tuple(
            str(value) for kind in self.kinds if isinstance(kind, inspect.LiteralType) for value in kind.values
        )

    @property
    def many(self) -> bool:
        return any(isinstance(kind, inspect.VarTupleType) for kind in self.kinds)


def settings_fields(settings: type[msgspec.Struct]) -> Iterator[Field]:
    """Every setting, in the order of its section and field."""
    for section in msgspec.structs.fields(settings):
        for field in msgspec.structs.fields(section.type):
            kind = inspect.type_info(field.type)
            parts = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
            notes = [note for part in parts for note in notes_on(part)]
            described = [(note.extra_json_schema or {}).get("description") for note in notes]
            yield Field(
                section=section.name,
                name=field.name,
                kinds=tuple(without_notes(part) for part in parts),
                annotation=field.type,
                default=field.default,
                description=next((str(text) for text in described if text), ""),
                secret=any((note.extra or {}).get("secret") for note in notes),
            )


def notes_on(kind: inspect.Type) -> Iterator[inspect.Metadata]:
    while isinstance(kind, inspect.Metadata):
        yield kind
        kind = kind.type


def without_notes(kind: inspect.Type) -> inspect.Type:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def masked_section(section: msgspec.Struct) -> dict[str, Any]:
    """A section's values, each secret as a mask."""
    fields = msgspec.structs.fields(type(section))
    secrets = {field.name for field in fields if SECRET in getattr(field.type, "__metadata__", ())}
    values = msgspec.structs.asdict(section)
    return {name: MASK if name in secrets and value else value for name, value in values.items()}
