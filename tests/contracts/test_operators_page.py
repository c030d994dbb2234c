"""The page for operators and the worker agree: every message has its entry, and every entry its message."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_scorer import errors
from stream_scorer.core.contract.reasons import Code
from tests.contracts.markdown_pages import ROOT, text_of

PAGE = text_of(ROOT / "docs" / "operators.md")
ENTRIES = re.findall(r"\*\*`([^`]+)`\*\*", PAGE)
PACKAGE = ROOT / "stream_scorer"
KNOWN = {
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.UserError)
}
TOLD = {"warning", "error", "critical"}


def template(node: ast.AST) -> str:
    """A text of the code with `…` for whatever is put in."""
    if isinstance(node, ast.Constant):
        return re.sub(r"%[srd]", "…", node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join("…" if isinstance(part, ast.FormattedValue) else template(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    return "…"


def texts(folder: Path) -> Iterator[str]:
    """Every text in the code of a folder."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                yield template(node)


def messages(folder: Path) -> Iterator[tuple[str, str]]:
    """What the code of a folder can tell an operator: file and message, of warnings, errors and known exceptions."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            told = isinstance(node.func, ast.Attribute) and node.func.attr in TOLD
            raised = isinstance(node.func, ast.Name) and node.func.id in KNOWN
            if (told or raised) and re.search(r"\w{3}", message := template(node.args[0])):
                yield path.name, message


def test_the_page_has_entries() -> None:
    assert len(ENTRIES) > 30


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_of_the_page_is_a_message_of_the_code(entry: str) -> None:
    # the settings' lead stands alone, a list is put behind it
    assert any(part_of(entry, text) for text in texts(PACKAGE))


@pytest.mark.parametrize(("file", "message"), sorted(set(messages(PACKAGE / "runtime"))))
def test_a_message_of_the_worker_stands_on_the_page(file: str, message: str) -> None:
    if file == "settings.py":
        return  # joined of problems: its two leads are entries
    assert any(part_of(entry, message) for entry in ENTRIES), message


def part_of(entry: str, text: str) -> bool:
    """Whether the text says what the entry says; each `…` of the entry stands for anything."""
    return re.search(".*".join(map(re.escape, entry.split("…"))), text, re.DOTALL) is not None


def test_every_code_has_its_line_on_the_page() -> None:
    lines = PAGE.split("## Dead letters by code")[1].split("\n## ")[0]
    assert [code for code in Code if f"`{code.value}`" not in lines] == []
