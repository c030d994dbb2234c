"""The demo's summary in words for people."""

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream_scorer.core.contract.reasons import Code
from stream_scorer.operations.demo.rollout_summary import RolloutSummary
from stream_scorer.operations.demo.summary import DemoSummary


def render_summary(summary: DemoSummary) -> RenderableType:
    """The summary for people."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="bold")
    table.add_column()
    table.add_row(f"{summary.observations:,}", "observations, of which")
    table.add_row(f"{summary.predictions:,}", "were scored")
    table.add_row(f"{summary.dead_letters:,}", f"became dead letters{_by_code(summary.dead_letters_by_code)}")
    if summary.redelivered:
        table.add_row(f"{summary.redelivered:,}", "were redelivered: sent again unchanged, not scored again")
    if summary.moved:
        table.add_row(f"{summary.moved:,}", "were on the wrong partition, and were moved first")
    if summary.outcomes:
        table.add_row(f"{summary.outcomes:,}", "outcomes, of which")
        broken = {code: n for code, n in summary.outcome_dead_letters_by_code.items() if code != Code.UNKNOWN_ID}
        table.add_row(f"{summary.joined:,}", "were joined to their prediction")
        table.add_row(f"{summary.corrected:,}", "corrected an outcome that was joined before")
        table.add_row(f"{summary.unknown:,}", "were unknown: no observation came within the join window")
        table.add_row(f"{summary.repeats:,}", "were repeats of an outcome that was known")
        table.add_row(f"{sum(broken.values()):,}", f"became dead letters{_by_code(broken)}")
        if summary.awaiting:
            table.add_row(f"{summary.awaiting:,}", "still wait for their observation")
    if summary.success_rate is not None:
        table.add_row(f"{summary.success_rate:.1%}", "success rate: precision of the predictions that said `likely`")
    if summary.latency_ms:
        table.add_row(
            " · ".join(f"{ms:g}" for ms in summary.latency_ms.values()),
            "ms from an observation's timestamp to its readable prediction, p50 · p99",
        )
    if summary.worker_restarts:
        table.add_row(f"{summary.worker_restarts:,}", "times the worker ended and was restarted")
    if summary.rollout is not None:
        _add_rollout(table, summary.rollout)
    words = (
        "Every record ended in exactly one place."
        if summary.is_fine
        else f"{summary.unaccounted:,} unaccounted for, {summary.duplicated:,} accounted for twice."
    )
    if summary.rollout is not None and summary.rollout.same != summary.rollout.predictions:
        words += " Predictions differ from what their models say."
    verdict = Text(f"{'✓' if summary.is_fine else '✗'} {words}", style="bold green" if summary.is_fine else "bold red")
    counted = Text("Counted by reading the topics back under read_committed.", style="dim")
    return Panel(
        Group(table, Text(), verdict, counted),
        box=box.ROUNDED,
        border_style="cyan",
        title="stream-scorer demo",
        title_align="left",
        expand=False,
    )


def _add_rollout(table: Table, rollout: RolloutSummary) -> None:
    for model, count in rollout.published.items():
        table.add_row(f"{count:,}", f"predictions by {model}")
    if rollout.withdrawn is not None:
        table.add_row(f"{rollout.withdrawn_after_outcomes:,}", f"outcomes had shown that {rollout.withdrawn} is worse")
    if rollout.promoted is not None:
        table.add_row(f"{rollout.promoted_after_outcomes:,}", f"outcomes had shown that {rollout.promoted} is better")
    else:
        table.add_row("–", "nothing was promoted: the outcomes have not shown enough yet")
    table.add_row(
        f"{rollout.same:,}",
        f"of {rollout.predictions:,} predictions are the same when their models score them again",
    )


def _by_code(codes: dict[str, int]) -> str:
    return ": " + ", ".join(f"{code} {count:,}" for code, count in codes.items()) if codes else ""
