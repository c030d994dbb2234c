"""What training found, as tables for people.

Invariant: a figure stands beside its interval.
"""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from stream_scorer.core.quality.confidence_intervals import Interval
from stream_scorer.core.quality.figures import GroupFigures
from stream_scorer.models.training.dataset import CleaningReport
from stream_scorer.models.training.evaluation import GROUP_POSITIVES_MIN, Evaluation
from stream_scorer.models.training.fit import SUCCESS_RATE_MIN, Trained

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


def print_report(model: str, out: Path, cleaning: CleaningReport, trained: Trained) -> None:
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
    console.print(figures_table(trained.evaluations))
    for name, evaluation in trained.evaluations.items():
        console.print(calibration_table(name, evaluation))
        console.print(groups_table(name, evaluation))
    console.print(f"saved {model} to {out}")


def cleaning_line(cleaning: CleaningReport) -> str:
    """What became of the rows that were read."""
    invalid = f"{cleaning.invalid} outside of the contract"
    if cleaning.invalid_by_column:
        invalid += f" ({', '.join(f'{name} {count}' for name, count in cleaning.invalid_by_column.items())})"
    left_out = f"{cleaning.duplicates} duplicates, {invalid}, {cleaning.unlabelled} without a label"
    if cleaning.unsearched:
        left_out += f" ({cleaning.unsearched} of them because nobody searched)"
    return f"{cleaning.read:,} rows read; left out: {left_out}; {cleaning.kept:,} kept"


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
