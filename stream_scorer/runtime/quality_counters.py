"""Prometheus counters of how well the predictions did, made at each scrape from counts that batches add to.

Law: a group is one value of one column (its own name as label), never a combination; what corrections take back has a
counter of its own, so that counters of many workers add up.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from stream_scorer.core.contract import COLUMNS
from stream_scorer.core.quality import GROUP_COLUMNS, Cells, Quality

GROUP_LABELS = ["model", "role", "column", "group"]
CLASSES = ("false", "true")


class QualityCounters(Collector):
    """Counts of predictions and joined outcomes by model, role and group; there from the start for every model that was
    announced."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counted, self._retracted = Quality(), Quality()
        registry.register(self)

    def announce(self, model: str, role: str) -> None:
        """Let this model's counters stand at 0."""
        self._counted[model, role], self._retracted[model, role]  # made at first sight

    def add(self, counted: Quality, retracted: Quality) -> None:
        """Add a committed batch's counts."""
        if counted:
            self._counted.add(counted)
        if retracted:
            self._retracted.add(retracted)

    def net(self) -> Cells:
        """All models' counts since this process started, without what corrections took back."""
        net = self._counted.total()
        net.add(self._retracted.total(), sign=-1)
        return net

    def collect(self) -> Iterable[Metric]:
        yield from self._families(self._counted, "", "")
        yield from self._families(self._retracted, "_retracted", ", taken back by corrections")

    def _families(self, quality: Quality, suffix: str, tail: str) -> Iterator[Metric]:
        joined = CounterMetricFamily(
            f"stream_scorer_joined{suffix}",
            f"Joined outcomes, by group, decision and what was true{tail}",
            labels=[*GROUP_LABELS, "predicted", "actual"],
        )
        errors = CounterMetricFamily(
            f"stream_scorer_squared_error{suffix}",
            f"Sum of (probability - class)² over joined outcomes{tail}",
            labels=["model", "role"],
        )
        predictions = CounterMetricFamily(
            f"stream_scorer_predictions{suffix}",
            f"Predictions, by group and decision{tail}",
            labels=[*GROUP_LABELS, "predicted"],
        )
        for model, cells in quality.models.items():
            errors.add_metric(model, float(cells.squared_error.sum()))
            for axis, column in enumerate(GROUP_COLUMNS):
                others = tuple(other for other in range(len(GROUP_COLUMNS)) if other != axis)
                joined_by_group, predicted_by_group = cells.joined.sum(axis=others), cells.predicted.sum(axis=others)
                for place, group in enumerate(COLUMNS[axis].domain):
                    labels = [*model, column, str(group)]
                    for predicted, decision in enumerate(CLASSES):
                        predictions.add_metric([*labels, decision], float(predicted_by_group[place, predicted]))
                        for actual, true_class in enumerate(CLASSES):
                            joined.add_metric(
                                [*labels, decision, true_class], float(joined_by_group[place, predicted, actual])
                            )
        yield joined
        yield errors
        if quality is self._counted:  # a prediction is never taken back
            yield predictions
