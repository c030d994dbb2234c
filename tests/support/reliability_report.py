"""The table of faults in docs/reliability.md, written by the very tests that cause them.

A test of a fault carries `@pytest.mark.fault("what happens", promise="what is promised")`; whoever accounts for an
environment notes what was found. `pytest -m fault --reliability-report FILE` writes the page of the tests that ran.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest

OPTION: Final = "--reliability-report"

HEAD: Final = """# Reliability

<!-- Written by the fault tests: `make faults`. Do not edit. -->

Each row is a test on a real Kafka with real worker processes. A reader that shares no code with the worker or with
`stream-scorer audit` reads all topics back and accounts for every input; the audit must agree with it. *Lost*: inputs
that ended nowhere. *Doubled*: inputs with more than one effect. *Caught up*: seconds from the end of the fault and of
the traffic until every input was committed, on two cores beside everything else that a test runs.

| fault | promise | what happened | lost | doubled | caught up, s |
| -- | -- | -- | -- | -- | -- |
"""


class Accounted(NamedTuple):
    """What a reader found in an environment's topics."""

    ended: dict[str, int]
    lost: int
    doubled: int
    caught_up_s: float


class Row(NamedTuple):
    """A test of a fault that ran, and what was accounted for in it."""

    fault: str
    promise: str
    passed: bool
    accounts: list[Accounted]


_noted: list[Accounted] = []


def note(accounted: Accounted) -> None:
    """Remember what was found, for the test that runs now."""
    _noted.append(accounted)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, type=Path, default=None, help="write the page of the faults that were tested here")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(OPTION) is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(config.getoption(OPTION)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "setup":
        _noted.clear()
    marker = item.get_closest_marker("fault")
    if marker is not None and (call.when == "call" or (call.when == "setup" and report.failed)):
        row = Row(marker.args[0], marker.kwargs["promise"], report.passed, list(_noted))
        # a report travels from the process that ran the test to the one that writes the page
        report.user_properties.append((OPTION, msgspec.to_builtins(row)))
    return report


class Report:
    """Writes the page, in the process that all reports come to. Rows of faults that were not caused in this run stay as
    they are."""

    def __init__(self, path: Path) -> None:
        self._path, self._rows = path, list[Row]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._rows += [msgspec.convert(value, Row) for name, value in report.user_properties if name == OPTION]

    def pytest_sessionfinish(self) -> None:
        if self._rows:
            before = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            self._path.write_text(page(self._rows, before), encoding="utf-8")


def page(rows: list[Row], before: str) -> str:
    """The page with these rows; those of the page as it was stay where their faults were not caused again."""
    lines = {text.split(" | ")[0].removeprefix("| "): text + "\n" for text in before.splitlines() if _is_row(text)}
    lines |= {row.fault: line(row) for row in by_fault(rows)}
    return HEAD + "".join(lines.values())


def _is_row(text: str) -> bool:
    return text.startswith("| ") and not text.startswith(("| fault |", "| -- |"))


def by_fault(rows: list[Row]) -> list[Row]:
    """One row a fault, whose tests may be several cases."""
    merged: dict[str, Row] = {}
    for row in rows:
        known = merged.get(row.fault)
        accounts = row.accounts if known is None else known.accounts + row.accounts
        merged[row.fault] = row._replace(passed=row.passed and (known is None or known.passed), accounts=accounts)
    return list(merged.values())


def line(row: Row) -> str:
    """A row of the table."""
    if not row.passed:
        return f"| {row.fault} | {row.promise} | **the test failed** | ? | ? | ? |\n"
    if not row.accounts:
        return f"| {row.fault} | {row.promise} | as promised | – | – | – |\n"
    last = row.accounts[-1]
    inputs = sum(last.ended.values())
    ended = ", ".join(f"{count:,} {end.replace('_', ' ')}" for end, count in sorted(last.ended.items()) if count)
    slowest_s = max(accounted.caught_up_s for accounted in row.accounts)
    lost, doubled = (sum(found) for found in zip(*((one.lost, one.doubled) for one in row.accounts), strict=True))
    return f"| {row.fault} | {row.promise} | {inputs:,} inputs: {ended} | {lost} | {doubled} | {slowest_s:.1f} |\n"
