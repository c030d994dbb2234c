"""What a metric is to us, before it has a value.

Invariant: everything that is ever said of a metric is in its definition.
"""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["records", "seconds", "bytes", "ids", "1"]
Labels = tuple[str, ...]

MODEL_LABELS: Final = ("model", "role")
ALONE: Final[tuple[Labels, ...]] = ((),)


@dataclass(frozen=True, eq=False)
class Definition:
    """One metric. `combinations`: every set of values that the labels have. `models_max`: where series are told apart
    by model and role too, how many models at most. `bounds`: a histogram's upper bounds, in its unit."""

    name: str
    kind: Kind
    unit: Unit
    meaning: str
    labels: Labels = ()
    combinations: tuple[Labels, ...] = ALONE
    models_max: int = 0
    bounds: tuple[float, ...] = ()

    @property
    def all_labels(self) -> Labels:
        return (*MODEL_LABELS, *self.labels) if self.models_max else self.labels

    @property
    def series(self) -> int:
        """Series of one combination of labels and model."""
        return len(self.bounds) + 3 if self.kind == "histogram" else 1

    @property
    def series_max(self) -> int:
        """Series that the metric can ever have."""
        return self.series * len(self.combinations) * max(1, self.models_max)


def singles(values: tuple[str, ...]) -> tuple[Labels, ...]:
    return tuple((value,) for value in values)


def counter(
    name: str, unit: Unit, meaning: str, *labels: str, of: tuple[Labels, ...] = ALONE, models: int = 0
) -> Definition:
    return Definition(f"stream_scorer_{name}_total", "counter", unit, meaning, labels, of, models)


def gauge(
    name: str, unit: Unit, meaning: str, *labels: str, of: tuple[Labels, ...] = ALONE, models: int = 0
) -> Definition:
    return Definition(f"stream_scorer_{name}", "gauge", unit, meaning, labels, of, models)


def histogram(
    name: str, unit: Unit, meaning: str, bounds: tuple[float, ...], *labels: str, of: tuple[Labels, ...] = ALONE
) -> Definition:
    return Definition(f"stream_scorer_{name}", "histogram", unit, meaning, labels, of, 0, bounds)
