"""Letters mended: a JSON Patch and named fixes, bytes in, bytes out.

Invariant: pure, and never raises on a letter; bytes that a fix does not change come out as they went in, to the last
blank; what is said of a fix quotes the fix and never the letter, because a user who may try fixes need not be allowed
to see dead letters.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jsonpatch
import jsonpointer
import msgspec

from stream_scorer.core.contract.reasons import Reason, cut
from stream_scorer.core.contract.schema_frame import schema_frame_of, without_frame
from stream_scorer.core.contract.strict_json import parse
from stream_scorer.core.dead_letters.named_fixes import _BY_NAME, _INTEGER, FIXES, TRUE_CLASS, Event, NamedFix

_TRUTH: Final = {"true": True, "false": False}
SAID_CHARACTERS_MAX: Final = 300
PATH_CHARACTERS_MAX: Final = 100
# A patch that copies the whole into itself doubles it each time: thirty such lines would be gigabytes
COPIED_BYTES_MAX: Final = 1024 * 1024
# A fix is typed by a person or made by a small script; every operation is done on every letter that it is tried on
OPERATIONS_MAX: Final = 100
PATCH_BYTES_MAX: Final = 64 * 1024
# What an operation can't be without, beside its path
_NEEDED: Final = {"add": "value", "replace": "value", "test": "value", "move": "from", "copy": "from"}
_PATCH_FAULTS: Final = (
    *(ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError),
    *(jsonpatch.JsonPatchException, jsonpointer.JsonPointerException),
)


class FixError(msgspec.Struct, frozen=True):
    """Why a fix can't be made, or does not fit a letter."""

    why: str


class Fix(msgspec.Struct, frozen=True, omit_defaults=True):
    """A JSON Patch (RFC 6902, as text), then named fixes in the order of `NamedFix`, then values that are set."""

    patch: str | None = None
    named: tuple[NamedFix, ...] = ()
    sets: tuple[tuple[str, str | bool | int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.patch is not None or self.named or self.sets)

    def said(self) -> str:
        """What it does, for the ledger: paths and names, but no value of a patch or of a column."""
        parts = [str(named) for named in self.named] + [f"set {name}" for name, _ in self.sets]
        if self.patch is not None:
            operations = ", ".join(f"{one.get('op')} {one.get('path')}" for one in json.loads(self.patch))
            parts.insert(0, f"patch ({operations})")
        return cut(", ".join(parts), SAID_CHARACTERS_MAX)


NO_FIX: Final = Fix()


def parse_fix(patch: str | None = None, named: Sequence[str] = (), sets: Sequence[str] = ()) -> Fix | FixError:
    """A fix as a person gives it: the patch as JSON, fixes by their names, `COLUMN=VALUE`."""
    if patch is not None and (wrong := _wrong_with(patch)) is not None:
        return FixError(f"not a JSON Patch (RFC 6902): {wrong}")
    unknown = [name for name in named if name not in list(NamedFix)]
    if unknown:
        return FixError(f"unknown fix: {unknown[0]}. There are {', '.join(NamedFix)}")
    made = []
    for text in sets:
        one = _set(text)
        if isinstance(one, FixError):
            return one
        made.append(one)
    return Fix(patch, tuple(fix for fix in NamedFix if fix in named), tuple(made))


def _wrong_with(patch: str) -> str | None:
    """What keeps a text from being a JSON Patch; it is its author's, so that it may be quoted."""
    encoded = patch.encode(errors="surrogatepass")
    if len(encoded) > PATCH_BYTES_MAX:
        return f"it has {len(encoded):,} bytes, at most {PATCH_BYTES_MAX:,} are allowed"
    # the limits of an event come first: the parsers below go as deep as the text does
    found = parse(encoded)
    if isinstance(found, Reason):
        return found.message.replace("Event", "it", 1)
    if isinstance(found, list) and len(found) > OPERATIONS_MAX:
        return f"it has {len(found):,} operations, at most {OPERATIONS_MAX} are allowed"
    try:
        operations = list(jsonpatch.JsonPatch.from_string(patch))
        for number, operation in enumerate(operations, 1):
            needed = _NEEDED.get(operation["op"])
            if needed is not None and needed not in operation:
                return f"operation {number} ({operation['op']}) has no member {needed!r}"
            if needed == "from":
                jsonpointer.JsonPointer(operation["from"])
    except _PATCH_FAULTS as error:
        return cut(str(error), SAID_CHARACTERS_MAX)
    return None


def _set(text: str) -> tuple[str, str | bool | int] | FixError:
    name, equals, given = text.partition("=")
    kind = bool if name == TRUE_CLASS else _BY_NAME[name].kind if name in _BY_NAME else None
    if not equals or kind is None:
        return FixError(f"{text}: give COLUMN=VALUE with one of {', '.join([*_BY_NAME, TRUE_CLASS])}")
    if kind is str:
        return name, given
    if kind is int:
        return (name, int(given)) if _INTEGER.fullmatch(given) else FixError(f"{text}: {name} is a whole number")
    return (name, _TRUTH[given.lower()]) if given.lower() in _TRUTH else FixError(f"{text}: give true or false")


def apply_fix(value: bytes | None, fix: Fix) -> bytes | FixError | None:
    """The value as the fix makes it; a schema registry's frame stays before it."""
    if not fix:
        return value
    if frame := schema_frame_of(value):
        mended = apply_fix(without_frame(value), fix)
        return frame + mended if isinstance(mended, bytes) else mended
    event: Any = parse(value)
    if isinstance(event, Reason):
        return FixError(f"only JSON can be fixed. {event.message}")
    before = _encode(event)
    if fix.patch is not None:
        event = _patched(event, fix.patch)
        if isinstance(event, FixError):
            return event
    if fix.named or fix.sets:
        if not isinstance(event, dict):
            return FixError("it is not a JSON object")
        for named in fix.named:
            FIXES[named](event)
        for name, given in fix.sets:
            if (fault := _put(event, name, given)) is not None:
                return fault
    after = _encode(event)
    if after is None:
        return FixError("it is nested too deep, or holds a number that JSON can't represent")
    return value if after == before else after


def _patched(event: object, patch: str) -> Any:
    """The event with every operation done, one after the other, or which of them does not fit."""
    copied_bytes = 0
    for number, operation in enumerate(jsonpatch.JsonPatch.from_string(patch), 1):
        kind = operation["op"]
        try:
            if kind == "copy":
                copied = _encode(jsonpointer.resolve_pointer(event, operation["from"]))
                copied_bytes += len(copied or b"")
                if copied is None:
                    return _misfit(number, operation, "the patch copies a value that JSON can't represent")
                if copied_bytes > COPIED_BYTES_MAX:
                    return _misfit(number, operation, f"the patch copies more than {COPIED_BYTES_MAX:,} bytes")
            event = jsonpatch.JsonPatch([operation]).apply(event, in_place=True)
        except jsonpatch.JsonPatchTestFailed:
            return _misfit(number, operation, "the value there is another one, or missing")
        except _PATCH_FAULTS:
            # their own texts quote the event
            said = "path and from don't lead" if kind in ("move", "copy") else "the path does not lead"
            return _misfit(number, operation, f"{said} to where it could be done")
    return event


def _misfit(number: int, operation: Mapping[str, Any], why: str) -> FixError:
    path = cut(str(operation["path"]), PATH_CHARACTERS_MAX)
    return FixError(f"the patch can't be applied: operation {number} ({operation['op']} {path!r}): {why}")


def _encode(event: object) -> bytes | None:
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None


def _put(event: Event, name: str, given: str | bool | int) -> FixError | None:
    if name == TRUE_CLASS:
        event[name] = given
        return None
    observation = event.get("observation")
    if not isinstance(observation, dict):
        return FixError(f"it has no observation to set {name} in")
    observation[name] = given
    return None


# The named fixes; each changes the event in place
