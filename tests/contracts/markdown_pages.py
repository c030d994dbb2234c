"""The project's texts, taken apart: pages, blocks of code, code spans, links, headings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Piece(NamedTuple):
    """Something that a page says, and where. `kind`: the language of a block."""

    page: str
    text: str
    kind: str = ""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(*kinds: str) -> Iterator[Piece]:
    """Fenced blocks of these languages."""
    for page in PAGES:
        for kind, text in _FENCED.findall(text_of(page)):
            if kind in kinds:
                yield Piece(name_of(page), text, kind)


def prose(page: Path) -> str:
    """The page without its blocks."""
    return _FENCED.sub("", text_of(page))


def spans() -> Iterator[Piece]:
    """Code spans within the prose."""
    for page in PAGES:
        for text in _SPAN.findall(prose(page)):
            yield Piece(name_of(page), text.strip())


def links() -> Iterator[Piece]:
    """Where links lead that stay within the project."""
    for page in PAGES:
        for target in _LINK.findall(prose(page)):
            if "://" not in target:
                yield Piece(name_of(page), target)


def anchors(page: Path) -> set[str]:
    """What a link may have behind `#`, as GitHub makes it of headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose(page))}


def shell_lines() -> Iterator[Piece]:
    """What people are told to type: lines of console blocks behind `$`, and indented lines that begin with our own
    command."""
    for page, text, _ in blocks("console"):
        for line in text.splitlines():
            if line.startswith("$ "):
                yield Piece(page, line[2:])
    for path in PAGES:
        for line in prose(path).splitlines():
            if line.startswith("    stream-scorer "):
                yield Piece(name_of(path), line.strip())
