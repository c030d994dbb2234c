"""What training found, as tables for people.

Invariant: a figure stands beside its interval.
"""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stream_scorer.core.quality.confidence_intervals import Interval
from stream_scorer.core.quality.figures import GroupFigures
from stream_scorer.models.training.dataset import CleaningReport
from stream_scorer.models.training.evaluation import GROUP_POSITIVES_MIN, Evaluation
from stream_scorer.models.training.fit import Trained
from stream_scorer.models.training.plots import PLOTS_FILE
from stream_scorer.models.training.thresholds import SUCCESS_RATE_MIN

FIGURES = (
    ("AUC", "auc"),
    ("average precision", "average_precision"),
    ("Brier score", "brier"),
    ("success rate", "success_rate"),
    ("recall", "recall"),
    ("share predicted true", "predicted_positive"),
    ("calibration slope", "calibration_slope"),
    ("calibration intercept", "calibration_intercept"),
)


def print_report(
    model: str, out: Path, cleaning: CleaningReport, trained: Trained, candidates: dict[str, Trained], chosen: str
) -> None:
    """Print everything to standard output."""
    console = Console()
    console.print(cleaning_line(cleaning))
    choice = trained.card["threshold_choice"]
    console.print(
        f"threshold {trained.threshold}: {choice['rule']} "
        f"(there {printed(Interval(**choice['success_rate']))}, {choice['on']})"
    )
    if choice["success_rate"]["low"] < SUCCESS_RATE_MIN:
        console.print(
            f"few rows: the interval reaches below {SUCCESS_RATE_MIN}, so the success rate may be lower than that"
        )
    if len(candidates) > 1:
        console.print(comparison_table(candidates, chosen))
    console.print(policies_table(choice["policies"]))
    console.print(figures_table(trained.evaluations))
    for name, evaluation in trained.evaluations.items():
        console.print(calibration_table(name, evaluation))
        console.print(groups_table(name, evaluation))
    console.print(f"saved {model} to {out}, with drawings in {PLOTS_FILE}")


def cleaning_line(cleaning: CleaningReport) -> str:
    """What became of the rows that were read."""
    invalid = f"{cleaning.invalid} outside of the contract"
    if cleaning.invalid_by_column:
        invalid += f" ({', '.join(f'{name} {count}' for name, count in cleaning.invalid_by_column.items())})"
    left_out = f"{cleaning.duplicates} duplicates, {invalid}, {cleaning.unlabelled} without a label"
    if cleaning.unsearched:
        left_out += f" ({cleaning.unsearched} of them because nobody searched)"
    return f"{cleaning.read:,} rows read; left out: {left_out}; {cleaning.kept:,} kept"


def policies_table(policies: dict[str, Any]) -> Table:
    """What each policy for the threshold would choose, and what it costs in recall."""
    table = Table(title="Thresholds, out of fold")
    for heading in ("policy", "threshold", "success rate", "recall", "largest gap"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for policy, found in policies.items():
        if found is None:
            table.add_row(policy, *["–"] * 4)
            continue
        gap = "–" if found["gap"] is None else f"{found['gap']:.3f}"
        rate = printed(Interval(**found["success_rate"]))
        table.add_row(policy, f"{found['value']:.2f}", rate, f"{found['recall']:.3f}", gap)
    return table


def comparison_table(candidates: dict[str, Trained], chosen: str) -> Table:
    """Candidates side by side on the held-out rows; the chosen one in bold."""
    table = Table("", title="Candidates on held-out rows, with 95 % intervals")
    for name in candidates:
        table.add_column(f"{name} (taken)" if name == chosen else name, justify="right")
    every = [trained.evaluations["held-out"] for trained in candidates.values()]
    table.add_row("out-of-fold Brier score", *(f"{each.errors.mean():.4f}" for each in candidates.values()))
    table.add_row("threshold", *(f"{each.threshold:.2f}" for each in candidates.values()))
    for title, field in FIGURES:
        table.add_row(title, *(printed(getattr(evaluation, field)) for evaluation in every))
    gaps = [max((gap.gap.value for gap in evaluation.gaps), default=None) for evaluation in every]
    table.add_row("largest gap", *("–" if gap is None else f"{gap:.3f}" for gap in gaps))
    return table


def figures_table(evaluations: dict[str, Evaluation]) -> Table:
    """The figures, a column for each set of rows."""
    table = Table("", title="Evaluation on rows that the model was not fitted on, with 95 % intervals")
    for name, evaluation in evaluations.items():
        table.add_column(f"{name} ({evaluation.rows:,} rows)", justify="right")
    for title, field in FIGURES:
        table.add_row(title, *(printed(getattr(evaluation, field)) for evaluation in evaluations.values()))
    return table


def calibration_table(name: str, evaluation: Evaluation) -> Table:
    """What was said and what came true."""
    table = Table("probability", "rows", "said on average", "came true", title=f"Calibration, {name}")
    for bin_ in evaluation.calibration:
        table.add_row(
            f"{bin_.low:.1f}–{bin_.high:.1f}", f"{bin_.rows:,}", f"{bin_.predicted:.3f}", printed(bin_.observed)
        )
    return table


def groups_table(name: str, evaluation: Evaluation) -> Table:
    """Discovery rates by group and their largest gaps."""
    table = Table("column", "group", "predicted true", "discovery rate", title=f"Discovery rates, {name}")
    for group in evaluation.groups:
        if group.joined:
            table.add_row(group.column, group.value, f"{group.predicted_positive:,}", printed(rate_of(group)))
    for gap in evaluation.gaps:
        table.add_row(gap.column, f"{gap.highest} − {gap.lowest}", "", f"gap {printed(gap.gap)}", style="bold")
    return table


def rate_of(group: GroupFigures) -> Interval | None:
    return group.discovery_rate if group.predicted_positive >= GROUP_POSITIVES_MIN else None


def printed(interval: Interval | None) -> str:
    """The figure and its interval; a dash where too little is known."""
    return "–" if interval is None else f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
