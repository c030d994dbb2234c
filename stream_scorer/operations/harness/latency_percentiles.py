"""Percentiles of measured latencies; by nearest rank, so that every one of them is a value that was measured."""

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; `ordered` ascends and is not empty."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def latency_figures(milliseconds: Sequence[float], shares: Sequence[float]) -> dict[str, float]:
    """`{"p50": …, "p99": …}` in milliseconds, for these shares; empty when nothing was measured."""
    ordered = sorted(milliseconds)
    return {f"p{share * 100:g}": round(percentile(ordered, share), 1) for share in shares} if ordered else {}
