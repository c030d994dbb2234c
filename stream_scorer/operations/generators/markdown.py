"""Markdown tables and code spans for the generated pages."""

from collections.abc import Iterable

REGENERATE = "make generate"


GENERATED = f"<!-- Generated from the code by `{REGENERATE}`: change the code, not this page. -->"


def table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [headings, ("--",) * len(headings), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def code_span(text: str) -> str:
    """The text as code, whatever backticks it holds; cut to what a table can bear."""
    shown = text if len(text) <= 160 else text[:160] + "…"
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"
