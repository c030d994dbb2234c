"""Hostile text on the page: nothing in it acts, hides or reorders, and all of it can still be read."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.operations.console.formatting import count, duration, moment
from stream_scorer.operations.console.safe_text import CHARACTERS_MAX, safe_text
from stream_scorer.operations.console.svg_charts import SERIES_MAX, ranked_series, sparkline, stacked_bars

TAGS = re.compile(r'<bdi>|</bdi>|<span class="(?:escaped|cut)"(?: title="[^"<>]*")?>|</span>')


def text_of(markup: str) -> str:
    """What a reader sees."""
    return html.unescape(TAGS.sub("", markup))


@given(st.text())
def test_only_our_own_tags_are_left_whatever_comes(text: str) -> None:
    left = TAGS.sub("", safe_text(text))
    assert "<" not in left
    assert ">" not in left


@given(st.text(st.characters(exclude_categories=["Mn", "Me", "Mc"])))
def test_every_character_that_is_left_can_be_seen(text: str) -> None:
    assert all(character.isprintable() or character == "\n" for character in text_of(safe_text(text)))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_reads_as_it_is(text: str) -> None:
    assert text_of(safe_text(text)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a\u202eb", "a\\u202eb", id="right_to_left_override"),
        pytest.param("a\u200bb", "a\\u200bb", id="zero_width_space"),
        pytest.param("a\u00a0b", "a\\xa0b", id="no_break_space"),
        pytest.param("a\x00b", "a\\0b", id="nul"),
        pytest.param("a\x1b[31mb", "a\\x1b[31mb", id="terminal_escape"),
        pytest.param("a\ud800b", "a\\ud800b", id="lone_surrogate"),
        pytest.param("a\tb", "a\\tb", id="tab"),
        pytest.param("שלום", "שלום", id="right_to_left_letters_stay"),
        pytest.param("日本", "日本", id="wide_letters_stay"),
    ],
)
def test_what_could_hide_or_reorder_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert text_of(safe_text(text)) == shown


def test_text_is_isolated_from_the_direction_around_it() -> None:
    assert safe_text("שלום").startswith("<bdi>")


def test_marks_that_paint_over_their_neighbours_become_escapes() -> None:
    assert text_of(safe_text("e" + "\u0301" * 2)) == "e\u0301\u0301"
    assert "\\u0301" in text_of(safe_text("e" + "\u0301" * 50))


def test_long_text_keeps_its_start_and_its_end() -> None:
    shown = text_of(safe_text("a" * CHARACTERS_MAX + "b" * CHARACTERS_MAX))
    assert shown.startswith("aaa")
    assert shown.endswith("bbb")
    assert len(shown) < CHARACTERS_MAX + 100
    assert count(CHARACTERS_MAX) in shown


def test_many_control_characters_stay_short() -> None:
    assert len(safe_text("\x00" * CHARACTERS_MAX)) < 1_000


def test_line_ends_of_ours_need_no_escape() -> None:
    assert text_of(safe_text("a\nb", our_lines=True)) == "a\nb"
    assert text_of(safe_text("a\nb")) == "a\\n\nb"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "–"), (0, "0 ms"), (0.0123, "12 ms"), (4.56, "4.6 s"), (90, "90 s"), (300, "5.0 min"), (200_000, "2 days")],
)
def test_a_duration_is_told_in_the_unit_that_a_person_would_take(seconds: float | None, said: str) -> None:
    assert duration(seconds).replace("\u202f", " ") == said


def test_a_moment_carries_its_exact_time_for_machines() -> None:
    assert 'datetime="1970-01-01T00:00:01.500Z"' in moment(1_500, 3_000)


# Drawings


def test_drawings_need_no_style_of_their_own() -> None:
    buckets = [(0, {"not_json": 3, "conflict": 1}), (1_000, {}), (2_000, {"conflict": 5})]
    drawn = stacked_bars(buckets, ranked_series(buckets), "letters") + sparkline([1, 2, 3], "rate")
    assert "style" not in drawn


def test_what_a_drawing_says_is_escaped() -> None:
    buckets = [(0, {"<script>": 1})]
    drawn = stacked_bars(buckets, ranked_series(buckets), "<script>") + sparkline([1.0], "<script>")
    assert "<script>" not in drawn


def test_rare_series_go_together_and_none_is_lost() -> None:
    counts = {f"code_{number}": number + 1 for number in range(12)}
    series = ranked_series([(0, counts)])
    assert len(series) == SERIES_MAX
    assert series[0] == "code_11"
    drawn = stacked_bars([(0, counts)], series, "letters")
    told = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", drawn[drawn.index("Z: ") :].split("<")[0])}
    assert sum(told.values()) == sum(counts.values())
