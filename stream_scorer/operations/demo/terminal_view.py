"""How the demo looks in a terminal of 80 columns and 24 lines or more: a picture of `LiveCounts`, redrawn a few
times a second; nothing is counted here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream_scorer.core.quality.confidence_intervals import wilson
from stream_scorer.operations.demo.live_counts import LiveCounts
from stream_scorer.operations.demo.rollout_story import StoryProgress
from stream_scorer.operations.harness.latency_percentiles import latency_figures

BARS = " ▁▂▃▄▅▆▇█"
BAR = 6
LINES_BESIDE_PREDICTIONS = 19


@dataclass
class Scene:
    """What the view shows beside what was seen."""

    broker: str
    page: str
    act_token: str = ""
    gateway: str = ""
    elapsed_s: float = 0.0
    observations: int = 0
    outcomes: int = 0
    state: str = ""
    restarts: int = 0
    prefix: str = ""
    story: StoryProgress | None = None


def render(seen: LiveCounts, scene: Scene, *, height: int) -> Layout:
    """The whole screen."""
    layout = Layout()
    layout.split_column(
        Layout(_head(scene), size=4),
        Layout(flow(seen, scene), size=5),
        Layout(name="middle", ratio=1),
        Layout(name="bottom", size=min(max(len(seen.reasons), 3), 6 if height < 34 else 12) + 2),
    )
    layout["middle"].split_row(
        Layout(_partitions(seen), ratio=4), Layout(_last(seen, max(height - LINES_BESIDE_PREDICTIONS, 2)), ratio=6)
    )
    layout["bottom"].split_row(
        Layout(_dead_letters(seen, 6 if height < 34 else 12), ratio=4), Layout(_quality(seen), ratio=6)
    )
    return layout


def line(seen: LiveCounts, scene: Scene) -> str:
    """The same in one line, for where there is no terminal."""
    figures = latency_figures(seen.recent_ms, (0.5, 0.99))
    latency = f"  p50 {figures['p50']:.0f} ms  p99 {figures['p99']:.0f} ms" if figures else ""
    joined = f"  joined {seen.updates['joined']:,}" if seen.updates else ""
    dead = sum(seen.dead_letters.values())
    counts = f"observations {scene.observations:,}  predictions {seen.predictions.total():,}  dead letters {dead:,}"
    return f"{clock(scene.elapsed_s)}  {counts}{latency}{joined}"


def _head(scene: Scene) -> RenderableType:
    left = Text.assemble(
        (" stream-scorer ", "bold reverse cyan"), (f"  {clock(scene.elapsed_s)}  ", "bold"), scene.state
    )
    restarts = f" worker restarted {scene.restarts}×" if scene.restarts else ""
    acting = Text.assemble(("to replay, log in with ", "dim"), (scene.act_token, "cyan")) if scene.act_token else ""
    grid = Table.grid(expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(left, Text("Ctrl-C ends", style="dim"))
    grid.add_row(
        Text(f" Apache Kafka on {scene.broker}", style="dim"),
        Text.assemble(("console ", "dim"), (f"http://{scene.page}", "cyan underline")),
    )
    gateway = Text.assemble((" gateway ", "dim"), (f"http://{scene.gateway}/docs", "cyan underline"))
    grid.add_row(gateway, acting)
    grid.add_row(Text(restarts, style="dim"), "")
    return grid


def flow(seen: LiveCounts, scene: Scene) -> RenderableType:
    figures = latency_figures(seen.recent_ms, (0.5, 0.99))
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in range(5):
        grid.add_column(justify="center", ratio=1, no_wrap=True)
    predictions, dead = sum(seen.predictions.values()), sum(seen.dead_letters.values())
    grid.add_row(
        _figure(f"{scene.observations:,}", "white"),
        _figure(f"{predictions:,}", "green"),
        _figure(f"{dead:,}", "red" if dead else "white"),
        _figure(f"{seen.rate:,.0f}/s", "cyan"),
        _figure(f"{figures['p50']:.0f} · {figures['p99']:.0f} ms" if figures else "–", "yellow"),
    )
    grid.add_row(
        *(
            Text(words, style="dim")
            for words in ("observations", "→ predictions", "dead letters", "scored", "p50 · p99")
        )
    )
    # the second that is still counting would look like a dip
    spark = Text(sparkline(list(seen.per_second)[:-1], 60), style="green", justify="center")
    return Panel(Group(grid, spark), box=box.ROUNDED, border_style="cyan", padding=(0, 1))


def _partitions(seen: LiveCounts) -> RenderableType:
    table = _table("#", "predictions", "dead", "waiting")
    for partition in sorted(set(seen.waiting) | set(seen.predictions) | set(seen.dead_letters)):
        waiting = seen.waiting.get(partition, 0)
        table.add_row(
            str(partition),
            f"{seen.predictions[partition]:,}",
            f"{seen.dead_letters[partition]:,}",
            Text(f"{waiting:,}", style="yellow" if waiting > 1_000 else ""),
        )
    return Panel(table, title="partitions", title_align="left", border_style="dim")


def _last(seen: LiveCounts, rows: int) -> RenderableType:
    table = Table(box=None, expand=True, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, width=BAR)
    table.add_column(no_wrap=True, justify="right", width=5)
    table.add_column(no_wrap=True, width=8)
    table.add_column(no_wrap=True, justify="right", width=6)
    for prediction, latency_ms in list(seen.last)[: -rows - 1 : -1]:
        said = Text("likely", style="bold green") if prediction.prediction else Text("unlikely", style="dim")
        table.add_row(
            prediction.id, _bar(prediction.proba, BAR), f"{prediction.proba:.3f}", said, f"{latency_ms:.0f} ms"
        )
    return Panel(table, title=f"last predictions  {seen.model}", title_align="left", border_style="dim")


def _dead_letters(seen: LiveCounts, rows: int) -> RenderableType:
    table = Table(box=None, expand=True, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=2, style="dim")
    table.add_column(justify="right")
    for (code, field), count in seen.reasons.most_common(rows):
        table.add_row(Text(code, style="red"), field or "", f"{count:,}")
    return Panel(table, title="dead letters by reason", title_align="left", border_style="dim")


def _quality(seen: LiveCounts) -> RenderableType:
    if not seen.updates:
        share = seen.positives / max(sum(seen.predictions.values()), 1)
        words = Text.assemble((f"{share:.1%}", "bold"), (" of the stops: a search would likely find something", "dim"))
        return Panel(words, title="decisions", title_align="left", border_style="dim")
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(no_wrap=True)
    if (measured := wilson(seen.right, seen.judged)) is not None:
        rate = Text.assemble(
            (f"{measured.value:.1%}", "bold green"),
            (f"  {measured.low:.0%} to {measured.high:.0%}, {seen.judged:,} judged", "dim"),
        )
    else:
        rate = Text("–")
    grid.add_row("success rate", rate)
    grid.add_row("joined", f"{seen.updates['joined']:,}, corrected {seen.updates['corrected']:,}")
    grid.add_row("came before", f"{seen.updates['awaiting_prediction']:,}, unknown {seen.updates['unknown']:,}")
    return Panel(grid, title="outcomes", title_align="left", border_style="dim")


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values as a line of bars, the highest one full."""
    shown, top = values[-width:], max(values[-width:], default=0)
    return "".join(BARS[math.ceil(value / top * (len(BARS) - 1))] if top else BARS[0] for value in shown)


def _table(*names: str) -> Table:
    table = Table(box=None, expand=True, header_style="dim", padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _figure(text: str, colour: str) -> Text:
    return Text(text, style=f"bold {colour}")


def _bar(share: float, width: int) -> Text:
    full = round(share * width)
    return Text.assemble(("━" * full, "cyan"), ("─" * (width - full), "dim"))


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"
