"""The brake on dead letters: pulled by a share over a window, for as long as a window, and never by a handful."""

import pytest

from stream_scorer.core.dead_letters.circuit_breaker import CircuitBreaker, Tripped


def a_brake() -> CircuitBreaker:
    return CircuitBreaker(share=0.5, window_ms=1_000, records_min=10)


@pytest.mark.parametrize(
    ("batches", "pulled"),
    [
        pytest.param([(0, 9, 9)], None, id="a handful says nothing"),
        pytest.param([(0, 10, 5)], None, id="the share itself is allowed"),
        pytest.param([(0, 10, 6)], Tripped(6, 10), id="more than the share"),
        pytest.param([(0, 5, 5), (999, 5, 3)], Tripped(8, 10), id="over several batches"),
        pytest.param([(0, 5, 5), (1_000, 5, 3)], None, id="what is older than the window is forgotten"),
        pytest.param([(0, 1_000, 0), (500, 900, 900)], None, id="many that were well weigh against it"),
    ],
)
def test_it_is_pulled_by_the_share_of_the_window(batches: list[tuple[int, int, int]], pulled: Tripped | None) -> None:
    brake = a_brake()
    assert [brake.add(*batch) for batch in batches][-1] == pulled


def test_it_holds_for_a_window_and_then_counts_anew() -> None:
    brake = a_brake()
    assert brake.add(5_000, 10, 10) is not None
    assert [brake.holds_for_ms(now_ms) for now_ms in (5_000, 5_400, 6_000)] == [1_000, 600, 0]
    assert brake.add(5_500, 100, 100) is None, "what was under way when it was pulled does not count"
    assert brake.add(6_000, 9, 9) is None
    assert brake.add(6_001, 1, 1) == Tripped(10, 10)
