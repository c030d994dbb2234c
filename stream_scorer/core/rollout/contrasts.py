"""Contrasts as settings write them: `SubjectRaceCode:W-B` compares the discovery rates of two groups of a column.

Invariant: a pair of groups is compared once, for its condition holds both ways.
"""

from collections.abc import Iterator, Sequence

from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.records.model_control import Contrast

GROUPS_OF = {column.name: tuple(map(str, column.domain)) for column in COLUMNS[:3]}


def contrast_text(contrast: Contrast) -> str:
    """As settings write it."""
    return f"{contrast.column}:{contrast}"


def contrasts_of(texts: Sequence[str]) -> tuple[Contrast, ...]:
    """What these settings name; `contrast_faults` must have found nothing in them."""
    found = []
    for text in texts:
        column, minuend, subtrahend = _parts(text)
        found.append(Contrast(column, minuend, subtrahend))  # type: ignore[arg-type]  # one of the three
    return tuple(found)


def contrast_faults(texts: Sequence[str]) -> Iterator[str]:
    """Everything that is wrong with these settings, each with the text that it is about."""
    seen: dict[frozenset[str], str] = {}
    for text in texts:
        column, minuend, subtrahend = _parts(text)
        if column not in GROUPS_OF or not minuend or not subtrahend:
            columns = ", ".join(GROUPS_OF)
            yield f"{text!r} is not `COLUMN:GROUP-GROUP`, such as SubjectRaceCode:W-B; columns are {columns}"
            continue
        groups = GROUPS_OF[column]
        unknown = [group for group in (minuend, subtrahend) if group not in groups]
        if unknown:
            yield f"{text!r}: {column} has no group {' and no group '.join(unknown)}, only {', '.join(groups)}"
        elif minuend == subtrahend:
            yield f"{text!r} compares a group with itself"
        elif (before := seen.setdefault(frozenset((column, minuend, subtrahend)), text)) is not text:
            yield f"{text!r} says the same as {before!r}: a gap is looked at both ways"


def _parts(text: str) -> tuple[str, str, str]:
    column, _, groups = text.partition(":")
    minuend, _, subtrahend = groups.partition("-")
    return column, minuend, subtrahend
