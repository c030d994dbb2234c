"""One run of Locust against a gateway, and the figures that it leaves."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LOCUSTFILE = Path(__file__).with_name("locustfile.py")
# It bends where one of 100 takes longer than this, or one of 100 is told to come again
P99_MS_MAX = 1_000.0
FAILED_SHARE_MAX = 0.01
SPAWN_PER_S = 200


class Figures(NamedTuple):
    """What one run of Locust counted, all requests together; times in milliseconds."""

    users: int
    requests: int
    failures: int
    per_s: float
    median_ms: float
    p90_ms: float
    p99_ms: float
    average_ms: float

    @property
    def bends(self) -> bool:
        return self.p99_ms > P99_MS_MAX or self.failures > FAILED_SHARE_MAX * self.requests

    def __str__(self) -> str:
        return (
            f"{self.users:>5} users  {self.requests:>8,} requests  {self.per_s:>8,.0f}/s  {self.failures:>6,} failed  "
            f"median {self.median_ms:.0f}  90 % {self.p90_ms:.0f}  99 % {self.p99_ms:.0f}  "
            f"average {self.average_ms:.0f} ms"
        )


def locust(
    address: str, folder: Path, name: str, users: int, seconds: float, answered: Path, *tags: str, pace_per_s: float = 0
) -> Figures:
    """One headless run; leaves its HTML and CSV files in the folder. `pace_per_s`: requests a second of each user, 0:
    one after the other without a pause."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", f"http://{address}"]
    command += ["-u", str(users), "-r", str(SPAWN_PER_S), "-t", f"{seconds:g}s", "--stop-timeout", "30"]
    command += ["--html", str(folder / f"{name}.html"), "--csv", str(folder / name), "--only-summary"]
    command += ["--exit-code-on-error", "0"]
    command += ["--tags", *tags] if tags else []
    environ = {**os.environ, "STREAM_SCORER_LOAD_ANSWERED": str(answered)}
    environ |= {"STREAM_SCORER_LOAD_PACE": str(pace_per_s)}
    with (folder / f"{name}.log").open("wb") as log:
        subprocess.run(command, stdout=log, stderr=log, env=environ, check=True, cwd=ROOT)
    with (folder / f"{name}_stats.csv").open(newline="") as file:
        (total,) = [row for row in csv.DictReader(file) if row["Name"] == "Aggregated"]
    return Figures(
        users,
        int(total["Request Count"]),
        int(total["Failure Count"]),
        float(total["Requests/s"]),
        *(_ms(total[column]) for column in ("50%", "90%", "99%", "Average Response Time")),
    )


def _ms(text: str) -> float:
    return 0.0 if text in ("", "N/A") else float(text)
