"""The demo's view: everything is there in the smallest terminal, and figures say what was seen."""

import io
from typing import Any

import pytest
from rich.console import Console

from stream_scorer.operations.demo.live_counts import LiveCounts, PredictionSeen, ReasonSeen, UpdateSeen
from stream_scorer.operations.demo.summary import DemoSummary
from stream_scorer.operations.demo.summary_text import render_summary
from stream_scorer.operations.demo.terminal_view import Scene, line, render, sparkline
from stream_scorer.operations.harness.latency_percentiles import latency_figures, percentile


def something_seen() -> LiveCounts:
    seen = LiveCounts(waiting={0: 0, 1: 3, 2: 0, 3: 12_345})
    for number in range(400):
        prediction = PredictionSeen(f"stop-{number:08d}", number % 3 == 0, number / 400, "default@0123456789ab")
        seen.note_prediction(number % 4, prediction, float(number))
    for code in (
        "not_json",
        "invalid_value",
        "out_of_range",
        "missing_columns",
        "not_an_integer",
        "missing_id",
        "conflict",
    ):
        seen.note_dead_letter(1, [ReasonSeen(code, "StatuteReason")])
    return seen


def a_scene() -> Scene:
    return Scene(
        "127.0.0.1:34567",
        "127.0.0.1:45678",
        gateway="127.0.0.1:45679",
        elapsed_s=75,
        observations=12_345,
        outcomes=99,
        state="playing",
    )


def drawn(width: int, height: int, seen: LiveCounts) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(render(seen, a_scene(), height=height), height=height)
    return captured.get()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (220, 60)], ids=["80x24", "120x40", "220x60"])
def test_everything_is_on_the_screen_and_nothing_runs_over_it(width: int, height: int) -> None:
    seen = something_seen()
    seen.note_update(UpdateSeen("joined", 1, True, True))
    lines = drawn(width, height, seen).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for wanted in (
        "12,345",
        "01:15",
        "http://127.0.0.1:45678",
        "http://127.0.0.1:45679/docs",
        "199 · 395 ms",
        "stop-00000399",
        "invalid_value",
        "success rate",
    ):
        assert wanted in text


def test_view_before_anything_was_seen() -> None:
    assert "observations" in drawn(80, 24, LiveCounts())


def test_line_says_the_same_in_short() -> None:
    assert line(something_seen(), a_scene()) == (
        "01:15  observations 12,345  predictions 400  dead letters 7  p50 199 ms  p99 395 ms"
    )


def test_correction_turns_a_success_around_and_is_not_another_outcome() -> None:
    seen = LiveCounts()
    seen.note_update(UpdateSeen("joined", 1, True, True))
    seen.note_update(UpdateSeen("joined", 1, True, False))
    assert (seen.right, seen.judged) == (1, 2)
    seen.note_update(UpdateSeen("joined", 2, True, False))
    assert (seen.right, seen.judged, seen.updates["joined"], seen.updates["corrected"]) == (0, 2, 2, 1)
    seen.note_update(UpdateSeen("joined", 3, True, True))
    assert (seen.right, seen.judged) == (1, 2)


def test_outcome_of_a_negative_prediction_says_nothing_about_success() -> None:
    seen = LiveCounts()
    seen.note_update(UpdateSeen("joined", 1, False, True))
    assert (seen.right, seen.judged) == (0, 0)


def test_sparkline_is_as_high_as_its_highest_value() -> None:
    assert sparkline([0, 4, 8], 10) == " ▄█"
    assert sparkline([0, 0], 10) == "  "
    assert sparkline([], 10) == ""
    assert len(sparkline(list(range(100)), 60)) == 60


@pytest.mark.parametrize(
    ("share", "value"),
    [(0.5, 5.0), (0.99, 10.0), (0.1, 1.0), (0.11, 2.0), (1.0, 10.0)],
    ids=["p50", "p99", "p10", "p11", "p100"],
)
def test_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([float(n) for n in range(1, 11)], share) == value


def test_no_latency_no_figures() -> None:
    assert latency_figures([], (0.5,)) == {}
    assert latency_figures([3.0, 1.0, 2.0], (0.5, 0.999)) == {"p50": 2.0, "p99.9": 3.0}


def a_summary(**changes: int) -> DemoSummary:
    counts: dict[str, Any] = dict.fromkeys(
        [
            *(
                "observations",
                "predictions",
                "dead_letters",
                "redelivered",
                "conflicts",
                "moved",
                "unaccounted",
                "duplicated",
            ),
            *(
                "outcomes",
                "outcome_updates",
                "joined",
                "corrected",
                "waited",
                "awaiting",
                "unknown",
                "repeats",
                "outcome_dead_letters",
            ),
        ],
        0,
    )
    return DemoSummary(
        **(counts | changes),
        dead_letters_by_code={"not_json": 3},
        outcome_dead_letters_by_code={},
        success_rate=0.5,
        latency_ms={"p50": 8.0, "p99": 21.5},
    )


def said(summary: DemoSummary) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(render_summary(summary))
    return captured.get()


def test_summary_says_that_all_is_well_only_when_it_is() -> None:
    assert "✓ Every record ended in exactly one place." in said(a_summary())
    assert "✗ 2 unaccounted for, 1 accounted for twice." in said(a_summary(unaccounted=2, duplicated=1))


def test_summary_shows_the_dead_letters_by_code() -> None:
    assert "not_json 3" in said(a_summary(dead_letters=3))
