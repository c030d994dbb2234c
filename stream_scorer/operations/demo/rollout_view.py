"""How the demo's roll-out looks in a terminal of 80 columns and 24 lines or more: the story, who serves, and what
outcomes show so far; nothing is decided here.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream_scorer.core.rollout.progress import CandidateProgress, ConditionProgress
from stream_scorer.operations.demo.live_counts import LiveCounts
from stream_scorer.operations.demo.rollout_story import StoryProgress
from stream_scorer.operations.demo.terminal_view import Scene, clock, flow
from stream_scorer.operations.harness.latency_percentiles import latency_figures

HEAD_LINES, FLOW_LINES, STORY_LINES = 3, 5, 13
# Below this the flow of events has one line in the head instead of a panel
TALL_LINES: Final = 31


class Row(NamedTuple):
    """A row of the evidence: what is asked, the conditions of the rule that are behind it, and how far the axis of its
    drawing goes to either side of its middle."""

    label: str
    conditions: tuple[str, ...]
    reach: float


ROWS: Final = (
    Row("better decisions", ("gain",), 0.05),
    Row("finds ≥ 48 %", ("success_rate",), 0.12),
    Row("overlooks ≤ 3 pts", ("recall",), 0.15),
    Row("fair: race W, B", ("gap_W-B", "gap_B-W"), 0.2),
    Row("fair: sex M, F", ("gap_M-F", "gap_F-M"), 0.2),
    Row("fair: ethn. H, N", ("gap_H-N", "gap_N-H"), 0.2),
    Row("no recent doubt", ("recent",), 0.05),
)


def render_story(seen: LiveCounts, scene: Scene, *, height: int) -> Layout:
    """The whole screen of a roll-out."""
    assert scene.story is not None
    story, tall = scene.story, height >= TALL_LINES
    layout = Layout()
    parts = [Layout(_head(seen, scene, tall), size=HEAD_LINES)]
    if tall:
        parts.append(Layout(flow(seen, scene), size=FLOW_LINES))
    parts += [
        Layout(_chapters(story), size=STORY_LINES if height > HEAD_LINES + STORY_LINES + len(ROWS) + 2 else 12),
        Layout(name="bottom", ratio=1),
    ]
    layout.split_column(*parts)
    layout["bottom"].split_row(Layout(_serving(story, seen), ratio=4), Layout(_evidence(story), ratio=6))
    return layout


def story_line(scene: Scene) -> str:
    """How far it is, for where there is no terminal; empty where there is no story."""
    shown = None if scene.story is None else _shown(scene.story)
    if shown is None:
        return ""
    name, progress = shown
    done = sum(condition.shown for condition in progress.conditions)
    return f"  {name}: {progress.outcomes:,} outcomes, {done} of {len(progress.conditions)} conditions shown"


def _head(seen: LiveCounts, scene: Scene, tall: bool) -> RenderableType:
    title = Text.assemble(
        (" stream-scorer ", "bold reverse cyan"),
        (f"  {clock(scene.elapsed_s)}  ", "bold"),
        "a roll-out of models" if scene.state == "playing" else scene.state,
    )
    where = f"--bootstrap {scene.broker}" + (f" --prefix {scene.prefix}" if scene.prefix else "")
    figures = latency_figures(seen.recent_ms, (0.5, 0.99))
    words = Text() if tall else Text(f" {seen.predictions.total():,} predictions  {seen.rate:,.0f}/s", style="dim")
    if figures and not tall:
        words.append(f"  p99 {figures['p99']:.0f} ms")
    return Group(
        _line(title, Text("Ctrl-C ends", style="dim")),
        _line(
            Text.assemble((" stream-scorer model status ", "cyan"), (where, "dim")),
            Text.assemble(("token ", "dim"), (scene.act_token, "cyan")),
        ),
        _line(words, Text.assemble(("console ", "dim"), (f"http://{scene.page}/models", "cyan underline"))),
    )


def _line(left: Text, right: Text) -> Table:
    grid = Table.grid(expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(left, right)
    return grid


def _chapters(story: StoryProgress) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=5, style="dim")
    grid.add_column(no_wrap=True, overflow="ellipsis")
    for number, chapter in enumerate(story.chapters):
        if number >= len(story.at):
            grid.add_row(Text("·", style="dim"), "", Text(chapter.title, style="dim"))
        elif number == len(story.at) - 1 and not story.ended:
            grid.add_row(
                Text("▸", style="bold yellow"), clock(story.at[number]), Text(chapter.title, style="bold yellow")
            )
        else:
            grid.add_row(Text("✓", style="bold green"), clock(story.at[number]), Text(chapter.title))
    return Panel(
        Group(grid, Text(), Text(story.chapter.told)),
        title="the story",
        title_align="left",
        box=box.ROUNDED,
        border_style="cyan",
        padding=(0, 1),
    )


def _serving(story: StoryProgress, seen: LiveCounts) -> RenderableType:
    table = Table(box=None, expand=True, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(width=8)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(justify="right", no_wrap=True)
    if (status := story.status) is None:
        return Panel(table, title="who serves", title_align="left", border_style="dim")
    colours = {"champion": "bold green", "canary": "bold yellow"}
    for model in status.models:
        colour = colours.get(model.role, "dim")
        share = f"{model.share:.0%}" if model.share else "–"
        table.add_row(Text(model.role, style=colour), Text(model.name, style=colour), share)
    lanes = Text.assemble(
        *((("●", "green") if lane.state == "serving" else ("○", "yellow")) for lane in status.lanes),
        (f" {status.lanes_serving} of {len(status.lanes)} lanes serve it", "dim"),
    )
    published = [
        Text.assemble((f"{count:,} ", "bold"), (f"by {model.partition('@')[0]}", "dim"))
        for model, count in seen.by_model.most_common()
    ]
    return Panel(Group(table, lanes, *published), title="who serves", title_align="left", border_style="dim")


def _evidence(story: StoryProgress) -> RenderableType:
    shown = _shown(story)
    if shown is None:
        words = Text("The champion is alone: there is nothing to compare.", style="dim")
        return Panel(words, title="what outcomes show", title_align="left", border_style="dim")
    name, progress = shown
    table = Table(box=None, expand=True, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(width=17, no_wrap=True)
    table.add_column(ratio=1, no_wrap=True)
    table.add_column(justify="right", width=7, no_wrap=True)
    table.add_column(width=1)
    conditions = {condition.name: condition for condition in progress.conditions}
    for row in ROWS:
        found = [conditions[each] for each in row.conditions if each in conditions]
        if found:
            table.add_row(row.label, IntervalBar(found, row.reach), _value(found[0]), _mark(found))
    counted = f"{progress.outcomes:,} outcomes"
    if progress.expected_outcomes and progress.decision == "undecided":
        counted += f", about {progress.expected_outcomes:,} more to come"
    fair = Text("fair: no gap above 5 points, or 5 points above the champion's own", style="dim")
    return Panel(
        Group(table, Text(), fair),
        title=f"what outcomes show of {name}",
        title_align="left",
        subtitle=counted,
        subtitle_align="right",
        border_style="dim",
    )


def _shown(story: StoryProgress) -> tuple[str, CandidateProgress] | None:
    """The candidate that the story is about now: the one that the judge has just decided on, else the first one that is
    deployed, else the last."""
    if story.status is None or not story.evidence:
        return None
    if story.decided is not None:
        return story.decided.model.partition("@")[0], story.decided.progress
    deployed = {model.digest for model in story.status.models}
    left = [each for each in story.evidence.values() if each.digest in deployed] or list(story.evidence.values())
    chosen = left[0]
    return chosen.model.partition("@")[0], chosen.progress


def _value(condition: ConditionProgress) -> Text:
    if condition.value is None:
        return Text("–", style="dim")
    return Text(f"{condition.value * 100:+.1f}%" if condition.name != "success_rate" else f"{condition.value:.1%}")


def _mark(conditions: Iterable[ConditionProgress]) -> Text:
    found = list(conditions)
    if any(condition.opposed for condition in found):
        return Text("✗", style="bold red")
    return Text("✓", style="bold green") if all(condition.shown for condition in found) else Text("…", style="yellow")


class IntervalBar:
    """The bounds of a figure as a bar as wide as there is room, with the places that it must lie beyond. Of a
    condition with a counterpart of the other sign both bounds are drawn."""

    def __init__(self, conditions: Sequence[ConditionProgress], reach: float) -> None:
        self._condition, self._others = conditions[0], conditions[1:]
        self._reach = reach
        self._colour = _mark(conditions).style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.drawn(options.max_width)

    def drawn(self, width: int) -> Text:
        """The bar, so many characters wide."""
        one, last = self._condition, width - 1
        limits = [one.bound, *(-other.bound for other in self._others)]
        middle = sum(limits) / len(limits)

        def place(figure: float) -> int:
            return round((min(max(figure - middle, -self._reach), self._reach) / self._reach + 1) / 2 * last)

        cells = [("·", "dim")] * width
        if one.low is not None and one.high is not None:
            for cell in range(place(one.low), place(one.high) + 1):
                cells[cell] = ("━", str(self._colour))
        for limit in limits:
            cells[place(limit)] = ("│", "bold")
        if one.value is not None:
            cells[place(one.value)] = ("●", str(self._colour))
        return Text.assemble(*cells)
