"""Wilson's interval against a textbook's figures."""

import pytest

from stream_scorer.core.quality.confidence_intervals import wilson


def test_wilson_interval_as_in_the_textbook() -> None:
    interval = wilson(8, 10)
    assert interval is not None
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.4902, 0.9433)


@pytest.mark.parametrize("successes", [0, 10], ids=["none", "all"])
def test_interval_holds_a_share_at_the_edge(successes: int) -> None:
    interval = wilson(successes, 10)
    assert interval is not None
    assert interval.low <= interval.value <= interval.high


def test_no_trial_has_no_interval() -> None:
    assert wilson(0, 0) is None
