"""Where the members of a JSON object stand in its text.

Invariant: only for text that `strict_json.parse` has accepted, so it is within all limits and well formed; every
character is read once for each level that is asked about.
"""

import json
import re
from typing import Final, NamedTuple

_DECODER: Final = json.JSONDecoder()
_BLANKS: Final = re.compile(r"[ \t\n\r]*")


class ByteSpan(NamedTuple):
    """From `begin` to before `end`."""

    begin: int
    end: int


class JsonMember(NamedTuple):
    """One name with its value: what they are and, in characters, where they stand."""

    name: str
    value: object
    name_at: ByteSpan
    value_at: ByteSpan


class Object(NamedTuple):
    """An object's members in the order of the text, a name that stands twice twice. `end`: behind its brace. `by_name`:
    the member that counts, of a name that stands twice the last one."""

    members: list[JsonMember]
    end: int
    by_name: dict[str, JsonMember]

    def last(self, name: str) -> JsonMember | None:
        """The member of that name that counts."""
        return self.by_name.get(name)


def object_at(text: str, begin: int) -> Object:
    """The object whose brace opens at or, behind blanks, after `begin`."""
    at = _past_blanks(text, _past_blanks(text, begin) + 1)
    members = []
    while text[at] != "}":
        name, name_end = _DECODER.raw_decode(text, at)
        value_begin = _past_blanks(text, _past_blanks(text, name_end) + 1)
        value, value_end = _DECODER.raw_decode(text, value_begin)
        members.append(JsonMember(name, value, ByteSpan(at, name_end), ByteSpan(value_begin, value_end)))
        at = _past_blanks(text, value_end)
        if text[at] == ",":
            at = _past_blanks(text, at + 1)
    return Object(members, at + 1, {member.name: member for member in members})


def _past_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found is not None else at
