"""The values of metrics, as arrays, and the text that Prometheus reads.

Invariant: a series' name and labels are written once; a scrape only writes numbers behind them. (The client library
takes 35 ms for a thousand series, this 1 ms, and nothing is scored meanwhile.)
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream_scorer.runtime.metrics.definitions import Definition, Labels

Floats = NDArray[np.float64]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Series:
    """A counter's or gauge's values: one for each combination of its labels, all 0 at first."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._places = {labels: place for place, labels in enumerate(definition.combinations)}
        self._values = np.zeros(len(self._places))

    def add(self, amount: float = 1.0, *labels: str) -> None:
        self._values[self._places[labels]] += amount

    def set(self, value: float, *labels: str) -> None:
        self._values[self._places[labels]] = value

    def counts(self) -> dict[Labels, int]:
        """The values as whole numbers, by labels."""
        return {labels: int(self._values[place]) for labels, place in self._places.items()}

    def lines(self) -> Iterator[str]:
        yield from series_lines(self.definition, (), self._values)


class Histogram:
    """A histogram's counts for each combination of its labels. A bucket holds what is less than or equal to its
    bound."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._bounds = definition.bounds
        self._places = {labels: place for place, labels in enumerate(definition.combinations)}
        self._counts = np.zeros((len(self._places), len(self._bounds) + 1), dtype=np.int64)
        self._sums = np.zeros(len(self._places))

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds of the buckets, the last one open."""
        return self._bounds

    def counts(self) -> list[int]:
        """How many values lie in each bucket, and beyond the last bound; all labels together."""
        return [int(count) for count in self._counts.sum(axis=0)]

    def observe(self, value: float, *labels: str, times: int = 1) -> None:
        """Count one value, the given number of times."""
        place = self._places[labels]
        self._counts[place, bisect_left(self._bounds, value)] += times
        self._sums[place] += value * times

    def observe_many(self, values: ArrayLike, *labels: str) -> None:
        """Count every value of an array."""
        place = self._places[labels]
        array = np.asarray(values, dtype=np.float64)
        found = np.searchsorted(self._bounds, array, side="left")
        self._counts[place] += np.bincount(found, minlength=self._counts.shape[1])
        self._sums[place] += float(array.sum())

    def lines(self) -> Iterator[str]:
        cumulated = np.cumsum(self._counts, axis=1)
        whole = np.column_stack([cumulated, self._sums, cumulated[:, -1]])
        yield from series_lines(self.definition, (), whole.ravel())


def series_lines(definition: Definition, model: Labels, values: Sequence[float] | NDArray[np.generic]) -> Iterator[str]:
    """A line for each of the definition's series of one model (none: an empty tuple), with these values."""
    numbers = map(repr, np.asarray(values, dtype=np.float64).tolist())
    return map(" ".join, zip(heads(definition, model), numbers, strict=True))


@lru_cache(maxsize=256)
def heads(definition: Definition, model: Labels) -> tuple[str, ...]:
    """Names and labels of the series, in the order of the definition's combinations."""
    told = [(*model, *labels) for labels in definition.combinations]
    named = [list(zip(definition.all_labels, labels, strict=True)) for labels in told]
    if definition.kind != "histogram":
        return tuple(definition.name + in_braces(labels) for labels in named)
    bounds = [repr(float(bound)) for bound in definition.bounds] + ["+Inf"]
    return tuple(
        head
        for labels in named
        for head in (
            *(f"{definition.name}_bucket{in_braces([*labels, ('le', bound)])}" for bound in bounds),
            f"{definition.name}_sum{in_braces(labels)}",
            f"{definition.name}_count{in_braces(labels)}",
        )
    )


def in_braces(labels: Sequence[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}" if labels else ""


def escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def family_text(definition: Definition, lines: Iterable[str]) -> str:
    """A metric with its help and type, as Prometheus' text format wants it."""
    meaning = definition.meaning.replace("\\", r"\\").replace("\n", r"\n")
    head = f"# HELP {definition.name} {meaning}\n# TYPE {definition.name} {definition.kind}\n"
    return head + "".join(f"{line}\n" for line in lines)
