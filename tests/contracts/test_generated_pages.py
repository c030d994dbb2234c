"""The generated pages under docs/ say what the code says: the contract, the settings, the metrics."""

import ast
import re
from collections.abc import Iterator
from inspect import getsource
from pathlib import Path

import pytest

from stream_scorer.core.contract.columns import COLUMNS
from stream_scorer.core.contract.reasons import Code
from stream_scorer.operations.generators.docs_pages import described_pages
from stream_scorer.operations.generators.markdown import REGENERATE
from stream_scorer.runtime.metrics.catalogue import CATALOGUE
from stream_scorer.runtime.metrics.console_catalogue import CONSOLE_CATALOGUE
from stream_scorer.runtime.metrics.evidence_catalogue import EVIDENCE_CATALOGUE
from stream_scorer.runtime.metrics.gateway_catalogue import GATEWAY_CATALOGUE
from stream_scorer.runtime.settings.fields import settings_fields
from stream_scorer.runtime.settings.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = described_pages()
DECLARING = ROOT / "stream_scorer" / "runtime" / "settings"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_generated_page_is_what_the_code_generates(name: str) -> None:
    path = ROOT / "docs" / name
    written = path.read_text(encoding="utf-8") if path.exists() else None
    assert written == PAGES[name], f"{path} is not what the code generates; run: {REGENERATE}"


def test_every_column_and_every_code_stands_in_the_contract() -> None:
    for name in [*(column.name for column in COLUMNS), *(code.value for code in Code)]:
        assert f"| `{name}` |" in PAGES["contract.md"]


def test_every_setting_and_its_variable_stand_in_the_settings() -> None:
    for field in settings_fields(Settings):
        assert f"| `{field.name}` | `{field.variable}` |" in PAGES["settings.md"]


def test_no_secret_s_default_is_shown() -> None:
    rows = [line for line in PAGES["settings.md"].splitlines() if "| secret |" in line]
    assert len(rows) == sum(field.secret for field in settings_fields(Settings))
    assert all("| secret | empty |" in row for row in rows)


def test_every_metric_stands_in_the_metrics() -> None:
    for definition in (*CATALOGUE, *EVIDENCE_CATALOGUE, *CONSOLE_CATALOGUE, *GATEWAY_CATALOGUE):
        assert f"| `{definition.name}` | {definition.kind} |" in PAGES["metrics.md"]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_row_of_a_table_has_the_cells_of_its_head(page: str) -> None:
    cells = 0
    for line in PAGES[page].splitlines():
        if not line.startswith("|"):
            cells = 0
            continue
        count = len(re.split(r"(?<!\\)\|", line)) - 2
        assert count == (cells or count), line
        cells = count


def test_every_setting_has_an_effect() -> None:
    files_of_secrets = {f"{field.key}_file" for field in settings_fields(Settings) if field.secret}
    asked_for = {node.attr for node in nodes_that_use_settings() if isinstance(node, ast.Attribute)}
    idle = {
        field.key
        for field in settings_fields(Settings)
        if field.name not in asked_for and field.key not in files_of_secrets
    }
    assert idle == set()


def nodes_that_use_settings() -> Iterator[ast.AST]:
    """All code but that which only declares, reads or checks settings; names that are made of several are used."""
    for path in (ROOT / "stream_scorer").rglob("*.py"):
        if path.parent != DECLARING:
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    yield from ast.walk(ast.parse(getsource(Settings)))
