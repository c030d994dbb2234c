"""What `make load` concludes: where a gateway bends, and which answers the topic does not bear out."""

from pathlib import Path

from tests.load.run import FAILED_SHARE_MAX, P99_MS_MAX, Figures, broken_promises


def figures(*, failures: int = 0, p99_ms: float = 20.0) -> Figures:
    return Figures(
        users=10,
        requests=1_000,
        failures=failures,
        per_s=100.0,
        median_ms=5.0,
        p90_ms=10.0,
        p99_ms=p99_ms,
        average_ms=6.0,
    )


def test_it_bends_where_answers_are_late_or_missing() -> None:
    assert not figures().bends
    assert figures(p99_ms=P99_MS_MAX + 1).bends
    assert figures(failures=int(1_000 * FAILED_SHARE_MAX) + 1).bends


def test_an_answer_that_the_topic_does_not_hold_is_a_broken_promise(tmp_path: Path) -> None:
    answered = tmp_path / "answered.txt"
    answered.write_text("a 0.5\na 0.5\nb 0.25\nlost 0.5\n")
    assert broken_promises({"a": 0.5, "b": 0.25, "lost": 0.5, "more": 0.1}, answered) == 0
    assert broken_promises({"a": 0.5, "b": 0.75}, answered) == 2
