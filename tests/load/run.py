"""`make load`: Locust against a real broker, worker and gateway of its own; then more and more users until it bends,
and few again, to see that it recovers; in the end every answer is held against the topics.

Invariant: exit status 0 means that nothing was lost or doubled, whatever the load was.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import typer

from stream_scorer.operations.audit.report import audit
from stream_scorer.operations.bench.environment import BenchEnvironment, stage
from stream_scorer.operations.harness.gateway_process import GatewayProcess
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.kafka.client import client_options
from tests.load.locust_run import ROOT, locust
from tests.load.soak import soak

STEPS_MAX = 8

say = typer.echo


@contextmanager
def serving(on: BenchEnvironment) -> Iterator[GatewayProcess]:
    on.worker.start().wait_ready()
    settings = on.settings
    with GatewayProcess(settings.kafka.bootstrap, prefix=settings.topics.prefix, folder=on.worker.folder) as gateway:
        gateway.wait_ready()
        yield gateway
    on.worker.stop()


async def run(answered: Path, load: Callable[[GatewayProcess], bool]) -> bool:
    """Whether the load went as it should, and nothing was lost or doubled."""
    async with stage(bootstrap=None, delivery="exactly-once", model=None, say=say) as on:
        with serving(on) as gateway:
            is_fine = await asyncio.to_thread(load, gateway)
            say(f"gateway's memory at most: {gateway.memory_peak_bytes() / 2**20:,.0f} MiB")
        options = client_options(on.settings.kafka)
        report = await audit(options, on.names, on.settings.group_name, count_unread=True)
        ended = ", ".join(f"{count:,} {name}" for name, count in sorted(report.ended.items()))
        say(f"every input: {ended}; missing {report.unaccounted}, doubled {report.duplicated + report.predicted_twice}")
        async with Reader(options) as reader:
            held = await predictions(reader, on.names.predictions)
        broken = broken_promises(held, answered)
        say(f"answers that the topic does not bear out: {broken}")
        return is_fine and not (report.unaccounted or report.duplicated or report.predicted_twice or broken)


def ramp(folder: Path, answered: Path, users: int, seconds: float, stresses: bool, gateway: GatewayProcess) -> bool:
    """Each kind of load alone, all together, then more and more users until it bends, and few again."""
    address = gateway.http_address or ""
    for kind in ("single", "batch", "mixed"):
        say(f"{kind}:  {locust(address, folder, kind, users, seconds, answered, kind)}")
    say(f"all:  {locust(address, folder, 'all', users, seconds, answered)}")
    if not stresses:
        return True
    for step in range(1, STEPS_MAX + 1):
        stressed = locust(address, folder, f"stress-{step}", users * 2**step, seconds / 2, answered, "single", "mixed")
        say(f"stress:  {stressed}")
        if stressed.bends:
            break
    recovered = locust(address, folder, "recovered", users, seconds / 2, answered)
    say(f"recovered:  {recovered}")
    return not recovered.bends


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
    parser.add_argument("--soak-minutes", type=float, help="instead: an even load for so long; memory must stay flat")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    answered = given.folder / "answered.txt"
    answered.write_text("")
    if given.soak_minutes:
        load = partial(soak, given.folder, answered, 60 * given.soak_minutes)
    else:
        load = partial(ramp, given.folder, answered, given.users, given.seconds, not given.no_stress)
    is_fine = asyncio.run(run(answered, load))
    say(f"reports: {given.folder}/*.html, *.csv")
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
