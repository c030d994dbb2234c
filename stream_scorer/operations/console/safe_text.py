"""Text, numbers and times as they stand on the page.

Invariant: what comes from Kafka is hostile until it went through `safe_text`: escaped, isolated from the direction of
the text around it, and with every character that could hide, move or forge something shown as its escape.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

from markupsafe import Markup, escape

from stream_scorer.core.dead_letters.highlighting import Segment
from stream_scorer.operations.console.formatting import count

# A page must stay a page, whatever a record holds
CHARACTERS_MAX = 20_000
# More marks than this on one letter only serve to paint over its neighbours
MARKS_IN_A_ROW_MAX = 3
ESCAPES_SHOWN_MAX = 40
# Of a list that a producer or a stranger made: reasons, headers
ITEMS_MAX = 100
# Of a record, piece by piece, so that many long pieces make no page of megabytes either
RECORD_CHARACTERS_MAX = 64 * 1024


def safe_text(text: object, characters_max: int = CHARACTERS_MAX, our_lines: bool = False) -> Markup:
    """The text for a page: nothing in it acts, hides or reorders; longer text keeps its start and its end. `our_lines`:
    its line ends are ours, and need no escape."""
    text = str(text)
    if len(text) > characters_max:
        head, tail = characters_max * 3 // 4, characters_max // 4
        left_out = f"… {count(len(text) - head - tail)} characters …"
        return Markup('{}<span class="cut">{}</span>{}').format(
            safe_text(text[:head]), left_out, safe_text(text[len(text) - tail :])
        )
    if our_lines:
        return Markup("\n").join(safe_text(line, characters_max) for line in text.split("\n"))
    return Markup("<bdi>{}</bdi>").format(Markup("").join(_runs(text)))


def shown_pieces(pieces: Sequence[Segment]) -> list[Segment]:
    """As many pieces of a record as a page shows, and one that says what is left out."""
    shown: list[Segment] = []
    characters = 0
    for number, piece in enumerate(pieces):
        if characters > RECORD_CHARACTERS_MAX:
            left_out = f"… {count(sum(len(each.text) for each in pieces[number:]))} characters are not shown …"
            return [*shown, Segment(left_out)]
        shown.append(piece)
        characters += min(len(piece.text), CHARACTERS_MAX)
    return shown


def _runs(text: str) -> Iterator[Markup]:
    if text.isascii() and text.isprintable():
        yield escape(text)
        return
    marks = 0
    kinds: list[bool] = []
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) or unicodedata.category(character) == "Me" else 0
        kinds.append(character.isprintable() and marks <= MARKS_IN_A_ROW_MAX)
    for plain, run in groupby(zip(kinds, text, strict=True), key=lambda each: each[0]):
        characters = "".join(character for _, character in run)
        yield escape(characters) if plain else _escapes(characters)


def _escapes(characters: str) -> Markup:
    shown = "".join(_escaped(character) for character in characters[:ESCAPES_SHOWN_MAX])
    more = f"… ({count(len(characters))} in a row)" if len(characters) > ESCAPES_SHOWN_MAX else ""
    lines = "\n" * min(characters.count("\n"), ESCAPES_SHOWN_MAX)
    return Markup('<span class="escaped" title="{}">{}</span>{}').format(_named(characters[0]), shown + more, lines)


def _escaped(character: str) -> str:
    if character == " ":
        return " "
    return character.encode("unicode_escape", errors="backslashreplace").decode() if ord(character) else "\\0"


def _named(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'a control character')}"
