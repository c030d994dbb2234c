"""A histogram that takes a whole batch at once, for metrics that have a value for each record.

Law: one numpy call a batch; a loop over records for the sake of a metric would cost as much as the scoring.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString


class BulkHistogram(Collector):
    """A Prometheus histogram without labels, filled by arrays. `bounds`: upper bounds of the buckets, ascending, in the
    metric's unit."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._documentation = name, documentation
        self._bounds = np.array(bounds, dtype=np.float64)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        registry.register(self)

    def observe_many(self, values: ArrayLike) -> None:
        """Count every value of an array; a bucket holds what is less than or equal to its bound."""
        array = np.asarray(values, dtype=np.float64)
        places = np.searchsorted(self._bounds, array, side="left")
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(array.sum())

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each bucket holds so far; the last one is for what is larger than every bound."""
        return tuple(self._counts.tolist())

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation)
        bounds = [*map(floatToGoString, self._bounds.tolist()), "+Inf"]
        cumulated = np.cumsum(self._counts).tolist()
        family.add_metric([], list(zip(bounds, cumulated, strict=True)), self._sum)
        return [family]
