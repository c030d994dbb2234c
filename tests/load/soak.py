"""An even, moderate load for a long time, with the gateway's memory sampled: does it stay flat?

The first twelfth of the run (five minutes of an hour) warms caches, so growth counts from the middle to the end.
"""

import csv
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import typer

from stream_scorer.operations.harness.gateway_process import GatewayProcess
from tests.load.locust_run import locust

USERS = 12
# Requests a second of each user that sends single ones: with this mix about 150 requests/s, and 600 events/s in batches
PACE_PER_S = 12.0
SAMPLE_EVERY_S = 10.0
WINDOWS = 12
MIB = 2**20
PEAK_BYTES_MAX = 150 * MIB
GROWTH_BYTES_MAX = 4 * MIB

say = typer.echo


class MemoryCurve(NamedTuple):
    """Medians of the resident memory in the first, a middle and the last twelfth of a run, and its peak; in bytes."""

    first: float
    middle: float
    last: float
    peak: int

    @classmethod
    def of(cls, samples: Sequence[int]) -> "MemoryCurve":
        window = max(1, len(samples) // WINDOWS)
        begin = (len(samples) - window) // 2
        first, middle, last = samples[:window], samples[begin : begin + window], samples[-window:]
        return cls(median(first), median(middle), median(last), max(samples))

    @property
    def is_flat(self) -> bool:
        return self.last - self.middle <= GROWTH_BYTES_MAX and self.peak <= PEAK_BYTES_MAX

    def __str__(self) -> str:
        first, middle, last, peak = (f"{count / MIB:.1f}" for count in self)
        return f"first {first}, middle {middle}, last {last}, at most {peak} MiB: {'flat' if self.is_flat else 'grows'}"


def soak(folder: Path, answered: Path, seconds: float, gateway: GatewayProcess) -> bool:
    """Whether the gateway's memory stayed flat; its samples go to `memory.csv`."""
    ended, samples = threading.Event(), [gateway.memory_bytes()]

    def sample() -> None:
        began_s = time.monotonic()
        with (folder / "memory.csv").open("w", newline="", buffering=1) as file:
            rows = csv.writer(file)
            rows.writerow(("seconds", "resident_bytes"))
            while not ended.wait(min(SAMPLE_EVERY_S, seconds / WINDOWS)):
                samples.append(gateway.memory_bytes())
                rows.writerow((round(time.monotonic() - began_s), samples[-1]))

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        figures = locust(gateway.http_address or "", folder, "soak", USERS, seconds, answered, pace_per_s=PACE_PER_S)
    finally:
        ended.set()
        sampling.join()
    say(f"soak:  {figures}")
    curve = MemoryCurve.of(samples)
    say(f"gateway's memory over {seconds / 60:g} min:  {curve}")
    return curve.is_flat
