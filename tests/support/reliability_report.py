"""The table of faults in docs/reliability.md, written by the very tests that cause them.

A test of a fault carries `@pytest.mark.fault("what happens", promise="what is promised")`; whoever accounts for an
environment notes what was found. `pytest -m fault --reliability-report FILE` writes the page of the tests that ran.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

OPTION: Final = "--reliability-report"
_ACCOUNTS = pytest.StashKey[list["Accounted"]]()
_ROWS = pytest.StashKey[list["Row"]]()

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
    config.stash[_ROWS] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "setup":
        _noted.clear()
    marker = item.get_closest_marker("fault")
    if marker is not None and (call.when == "call" or (call.when == "setup" and report.failed)):
        fault, promise = marker.args[0], marker.kwargs["promise"]
        item.config.stash[_ROWS].append(Row(fault, promise, report.passed, list(_noted)))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path, rows = session.config.getoption(OPTION), session.config.stash[_ROWS]
    if path is not None and rows:
        path.write_text(HEAD + "".join(map(line, by_fault(rows))), encoding="utf-8")


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
