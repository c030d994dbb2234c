"""What training found, drawn: calibration, probabilities by group, discovery rates.

Invariant: what is drawn stands on the card or in its evaluations too; the drawing is for people.
"""

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMNS
from stream_scorer.core.quality.counts import GROUP_COLUMNS
from stream_scorer.models.charts.svg import ChartPanel, ChartSeries, document, intervals, lines
from stream_scorer.models.training.evaluation import GROUP_POSITIVES_MIN
from stream_scorer.models.training.fit import PROBABILITY_BINS, Trained

PLOTS_FILE = "plots.svg"
# a group with fewer rows has a jagged line of its own chance
GROUP_ROWS_MIN = 100


def plots_of(name: str, trained: Trained) -> bytes:
    """The drawing of a model, as an SVG file."""
    return document(name, [calibration(trained), *scores_by_group(trained), *discovery_rates(trained)])


def calibration(trained: Trained) -> ChartPanel:
    """What was said and what came true, for each set of rows that it was measured on."""
    series = [
        ChartSeries(
            name,
            [(bin_.predicted, bin_.observed.value) for bin_ in evaluation.calibration],
            [bin_.observed for bin_ in evaluation.calibration],
        )
        for name, evaluation in trained.evaluations.items()
    ]
    return lines("Calibration", "probability", "came true", series, y_max=1.0, diagonal=True)


def scores_by_group(trained: Trained) -> list[ChartPanel]:
    """How probabilities are spread within each group; out of fold, on the rows of the training."""
    by_column = trained.card["distributions"]["probabilities_by_group"]
    panels = []
    for column in GROUP_COLUMNS:
        series = []
        for value in COLUMNS[COLUMN_NAMES.index(column)].domain:
            counts = by_column[column][str(value)]
            if (total := sum(counts)) >= GROUP_ROWS_MIN:
                middles = [(place + 0.5) / PROBABILITY_BINS for place in range(PROBABILITY_BINS)]
                series.append(ChartSeries(str(value), list(zip(middles, (n / total for n in counts), strict=True))))
        panels.append(lines(f"Probabilities by {column}", "probability", "share of the group", series))
    return panels


def discovery_rates(trained: Trained) -> list[ChartPanel]:
    """The success rate within each group of at least 30 positive predictions, for each set of rows."""
    panels = []
    for name, evaluation in trained.evaluations.items():
        rows = [
            (f"{group.column} {group.value}", (group.discovery_rate,))
            for group in evaluation.groups
            if group.predicted_positive >= GROUP_POSITIVES_MIN
        ]
        title = f"Discovery rates, {name}"
        panels.append(intervals(title, "success rate within the group, with its 95 % interval", rows, ("found",)))
    return panels
