"""The view of the demo's roll-out: the whole story is there in the smallest terminal, and bars say what was found."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stream_scorer.core.records.model_control import ServedModel
from stream_scorer.core.rollout.progress import CandidateProgress, ConditionProgress
from stream_scorer.operations.demo.live_counts import LiveCounts, PredictionSeen
from stream_scorer.operations.demo.rollout_models import StoryModel, StoryModels
from stream_scorer.operations.demo.rollout_story import StoryProgress, chapters_of
from stream_scorer.operations.demo.rollout_view import IntervalBar, render_story, story_line
from stream_scorer.operations.demo.terminal_view import Scene
from stream_scorer.operations.rollout.status import CandidateStatus, ModelInRole, RolloutStatus

MODELS = StoryModels(
    *(
        StoryModel(Path(name), ServedModel(name=name, digest=digit * 64, threshold=0.3), "additive")
        for name, digit in (("one-column", "a"), ("all-columns", "b"), ("small-sample", "c"))
    )
)
NAMES = ("gain", "success_rate", "recall", "gap_W-B", "gap_B-W", "gap_M-F", "gap_F-M", "gap_H-N", "gap_N-H", "recent")


def a_condition(name: str = "gain", **changes: Any) -> ConditionProgress:
    said: dict[str, Any] = {"value": 0.02, "low": 0.0, "high": 0.04, "bound": 0.0, "at_least": True, "judged": True}
    said |= {"shown": False, "opposed": False, "expected_outcomes": 500}
    return ConditionProgress(name=name, **(said | changes))


def a_progress(**changes: Any) -> CandidateProgress:
    said: dict[str, Any] = {
        "outcomes": 4_321,
        "scored": 5_000,
        "decision": "undecided",
        "futile": False,
        "miscalibrated": False,
        "uneven_coverage": False,
        "conditions": tuple(a_condition(name) for name in NAMES),
        "expected_outcomes": 1_234,
    }
    return CandidateProgress(**(said | changes))


def a_candidate(**changes: Any) -> CandidateStatus:
    model = MODELS.challenger.served
    return CandidateStatus(
        model=model.label,
        digest=model.digest,
        role="canary",
        champion="one-column@aaaa",
        progress=a_progress(**changes),
    )


def a_story() -> StoryProgress:
    story = StoryProgress(chapters_of(MODELS), at=[0.0, 12.0, 30.0, 65.0])
    roles = (("champion", MODELS.champion, 0.9), ("canary", MODELS.challenger, 0.1))
    story.status = RolloutStatus(
        environment="demo",
        control_offset=3,
        control=None,
        models=tuple(
            ModelInRole(
                role=role,
                name=model.name,
                digest=model.served.digest,
                label=model.served.label,
                threshold=0.3,
                share=share,
                loaded=4,
            )
            for role, model, share in roles
        ),
        lanes=(),
        candidates=(),
        passed_over=0,
        late=0,
    )
    story.evidence = {MODELS.challenger.served.digest: a_candidate()}
    return story


def drawn(width: int, height: int, story: StoryProgress) -> list[str]:
    seen = LiveCounts()
    for number in range(50):
        seen.note_prediction(0, PredictionSeen(f"stop-{number}", True, 0.5, "one-column@aaaa"), 12.0)
    scene = Scene("127.0.0.1:34567", "127.0.0.1:45678", "0123456789abcdef", state="playing", story=story)
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(render_story(seen, scene, height=height), height=height)
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (220, 60)], ids=["80x24", "120x40", "220x60"])
def test_the_story_is_on_the_screen_and_nothing_runs_over_it(width: int, height: int) -> None:
    story = a_story()
    lines = drawn(width, height, story)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for chapter in story.chapters:
        assert chapter.title in text
    for wanted in (
        "▸ 01:05 all-columns becomes the canary",
        "model status --bootstrap 127.0.0.1:34567",
        "http://127.0.0.1:45678/models",
        "canary   all-columns",
        "10%",
        "overlooks",
        "fair: ethn. H, N",
        "4,321 outcomes, about 1,234 more to come",
        "token 0123456789abcdef",
    ):
        assert wanted in text


@pytest.mark.parametrize("number", range(5))
def test_each_chapter_is_told_to_its_end_in_the_smallest_terminal(number: int) -> None:
    story = a_story()
    story.at = [float(at) for at in range(number + 1)]
    text = " ".join(line.strip("│ ") for line in drawn(80, 24, story))
    assert story.chapter.told.split()[-1] in text
    assert all(word in text for word in story.chapter.told.split())


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        pytest.param([a_condition(low=0.01, high=0.03)], "·····│━●━··", id="above its mark"),
        pytest.param([a_condition(low=-9.0, high=9.0, value=0.03)], "━━━━━│━━●━━", id="wider than the axis"),
        pytest.param([a_condition(value=None, low=None, high=None)], "·····│·····", id="nothing known"),
        pytest.param(
            [a_condition(bound=0.02, value=0.0, low=-0.01, high=0.01), a_condition(bound=0.02)],
            "···│━●━│···",
            id="between two marks",
        ),
    ],
)
def test_a_bar_shows_bounds_beside_what_they_must_lie_beyond(conditions: list[ConditionProgress], wanted: str) -> None:
    assert IntervalBar(conditions, 0.05).drawn(11).plain == wanted


def test_without_a_terminal_a_line_says_how_far_it_is() -> None:
    scene = Scene("b", "p", story=a_story())
    assert story_line(scene) == "  all-columns: 4,321 outcomes, 0 of 10 conditions shown"
    assert story_line(Scene("b", "p")) == ""
