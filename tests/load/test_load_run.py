"""What `make load` concludes: where a gateway bends, and which answers the topic does not bear out."""

import subprocess
import sys
from pathlib import Path

from tests.load.locust_run import FAILED_SHARE_MAX, P99_MS_MAX, ROOT, Figures
from tests.load.run import broken_promises
from tests.load.soak import GROWTH_BYTES_MAX, MIB, PEAK_BYTES_MAX, MemoryCurve


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


def test_memory_that_only_warms_up_is_flat() -> None:
    curve = MemoryCurve.of([70 * MIB] * 30 + [90 * MIB] * 330)
    assert curve == (70 * MIB, 90 * MIB, 90 * MIB, 90 * MIB)
    assert curve.is_flat


def test_memory_that_grows_slowly_or_peaks_is_not_flat() -> None:
    growing = [80 * MIB + minute * 2 * GROWTH_BYTES_MAX // 30 for minute in range(60)]
    assert not MemoryCurve.of(growing).is_flat
    assert not MemoryCurve.of([80 * MIB] * 60 + [PEAK_BYTES_MAX + 1] + [80 * MIB] * 60).is_flat


def test_a_task_hides_nothing_of_locusts_own() -> None:
    # locust patches the standard library when it is imported, so it is imported in a process of its own
    script = (
        "from locust import FastHttpUser, User; from tests.load import locustfile as file; "
        "users = [one for one in vars(file).values() if isinstance(one, type) and issubclass(one, FastHttpUser)]; "
        "print([task.__name__ for user in users for task in user.tasks if hasattr(User, task.__name__)], len(users))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "[] 5"
