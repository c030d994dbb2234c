"""The table of faults: whole under several processes, and kept where only some faults are caused again."""

from tests.support.reliability_report import HEAD, Accounted, Row, by_fault, line, page

KILLED = Row("kill -9", "nothing lost", True, [Accounted({"prediction": 7}, 0, 0, 0.5)])
STOPPED = Row("SIGSTOP", "nothing doubled", True, [])


def test_a_fault_in_several_cases_is_one_row() -> None:
    (row,) = by_fault([KILLED, KILLED._replace(passed=False)])
    assert not row.passed
    assert len(row.accounts) == 2


def test_what_was_not_caused_again_keeps_its_row() -> None:
    before = page([KILLED, STOPPED], "")
    again = STOPPED._replace(passed=False)
    assert page([again], before) == HEAD + line(KILLED) + line(again)


def test_a_page_of_no_rows_is_begun() -> None:
    assert page([STOPPED], HEAD) == HEAD + line(STOPPED)
