"""`make load`: Locust against a real broker, worker and gateway of its own; then more and more users until it bends,
and few again, to see that it recovers; in the end every answer is held against the topics.

Invariant: exit status 0 means that nothing was lost or doubled, whatever the load was.
"""

import argparse
import asyncio
import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import typer

from stream_scorer.operations.audit.report import audit
from stream_scorer.operations.bench.environment import BenchEnvironment, stage
from stream_scorer.operations.harness.gateway_process import GatewayProcess
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.kafka.client import client_options

ROOT = Path(__file__).parents[2]
LOCUSTFILE = Path(__file__).with_name("locustfile.py")
# It bends where one of 100 takes longer than this, or one of 100 is told to come again
P99_MS_MAX = 1_000.0
FAILED_SHARE_MAX = 0.01
STEPS_MAX = 8
SPAWN_PER_S = 200


say = typer.echo


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


def locust(address: str, folder: Path, name: str, users: int, seconds: float, answered: Path, *tags: str) -> Figures:
    """One headless run; leaves its HTML and CSV files in the folder."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", f"http://{address}"]
    command += ["-u", str(users), "-r", str(SPAWN_PER_S), "-t", f"{seconds:g}s", "--stop-timeout", "30"]
    command += ["--html", str(folder / f"{name}.html"), "--csv", str(folder / name), "--only-summary"]
    command += ["--exit-code-on-error", "0"]
    command += ["--tags", *tags] if tags else []
    environ = {**os.environ, "STREAM_SCORER_LOAD_ANSWERED": str(answered)}
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


@contextmanager
def serving(on: BenchEnvironment) -> Iterator[GatewayProcess]:
    on.worker.start().wait_ready()
    settings = on.settings
    with GatewayProcess(settings.kafka.bootstrap, prefix=settings.topics.prefix, folder=on.worker.folder) as gateway:
        gateway.wait_ready()
        yield gateway
    on.worker.stop()


async def run(folder: Path, answered: Path, users: int, seconds: float, *, stresses: bool) -> bool:
    """Whether nothing was lost or doubled."""
    async with stage(bootstrap=None, delivery="exactly-once", model=None, say=say) as on:
        with serving(on) as gateway:
            await asyncio.to_thread(loads, gateway, folder, answered, users, seconds, stresses)
            say(f"gateway's memory at most: {gateway.memory_peak_bytes() / 2**20:,.0f} MiB")
        options = client_options(on.settings.kafka)
        report = await audit(options, on.names, on.settings.group_name, count_unread=True)
        ended = ", ".join(f"{count:,} {name}" for name, count in sorted(report.ended.items()))
        say(f"every input: {ended}; missing {report.unaccounted}, doubled {report.duplicated + report.predicted_twice}")
        async with Reader(options) as reader:
            held = await predictions(reader, on.names.predictions)
        broken = broken_promises(held, answered)
        say(f"answers that the topic does not bear out: {broken}")
        return not (report.unaccounted or report.duplicated or report.predicted_twice or broken)


def loads(gateway: GatewayProcess, folder: Path, answered: Path, users: int, seconds: float, stresses: bool) -> None:
    address = gateway.http_address or ""
    for kind in ("single", "batch", "mixed"):
        say(f"{kind}:  {locust(address, folder, kind, users, seconds, answered, kind)}")
    calm = locust(address, folder, "all", users, seconds, answered)
    say(f"all:  {calm}")
    if not stresses:
        return
    for step in range(1, STEPS_MAX + 1):
        stressed = locust(address, folder, f"stress-{step}", users * 2**step, seconds / 2, answered, "single", "mixed")
        say(f"stress:  {stressed}")
        if stressed.bends:
            break
    say(f"recovered:  {locust(address, folder, 'recovered', users, seconds / 2, answered)}")


class _Prediction(msgspec.Struct):
    id: str
    proba: float


async def predictions(reader: Reader, topic: str) -> dict[str, float]:
    """Every prediction's probability, by id."""
    decode, held = msgspec.json.Decoder(_Prediction).decode, {}
    async for _, records in reader.read(await reader.spans([topic])):
        held.update({one.id: one.proba for one in (decode(record.value) for record in records if record.value)})
    return held


def broken_promises(held: dict[str, float], answered: Path) -> int:
    """How many answers name no prediction, or another one than the topic holds under the id."""
    promises = (line.rsplit(" ", 1) for line in answered.read_text().splitlines())
    return sum(held.get(id_) != float(proba) for id_, proba in promises)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "load", help="where HTML and CSV go")
    parser.add_argument("--users", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=20, help="of each run")
    parser.add_argument("--no-stress", action="store_true", help="leave out the search for where it bends")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    answered = given.folder / "answered.txt"
    answered.write_text("")
    is_fine = asyncio.run(run(given.folder, answered, given.users, given.seconds, stresses=not given.no_stress))
    say(f"reports: {given.folder}/*.html, *.csv")
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
