"""This source tree's worker beside that of another revision, measured in turns on one broker.

Invariant: what measures is this tree for both, so that only the workers differ; each figure is the median of its runs.
"""

import asyncio
import contextlib
import statistics
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from stream_scorer.errors import SettingsError
from stream_scorer.operations.bench.environment import Say

ROUNDS: Final = 5
ROOT: Final = Path(__file__).parents[3]

# Measures the worker of a source tree, or of this one, on that broker
Measure = Callable[[str, Path | None], Coroutine[Any, Any, msgspec.Struct]]


class Comparison(msgspec.Struct, kw_only=True):
    """Medians by figure: of the other revision, of this tree, and this tree's share of the other's. `faults` counts
    records that were missing or doubled in any run."""

    revision: str
    rounds: int
    before: dict[str, float]
    now: dict[str, float]
    ratio: dict[str, float]
    faults: float


FAULTS: Final = ("unaccounted", "duplicated", "unanswered")


async def compare(measure: Measure, revision: str, rounds: int, bootstrap: str | None, say: Say) -> Comparison:
    """Measure both in turns, so that what changes on the machine meanwhile changes for both."""
    runs: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
    async with bench_broker(bootstrap, say) as address:
        with source_tree(revision) as tree:
            for number in range(rounds):
                for name, measured in (("before", tree), ("now", None)):
                    say(f"Round {number + 1} of {rounds}: {revision if measured is not None else 'this tree'}")
                    runs[name].append(numbers_of(msgspec.to_builtins(await measure(address, measured))))
    before, now = (medians(runs[name]) for name in ("before", "now"))
    return Comparison(
        revision=revision,
        rounds=rounds,
        before=before,
        now=now,
        ratio={name: round(now[name] / before[name], 3) for name in now if before.get(name)},
        faults=sum(run.get(name, 0) for found in runs.values() for run in found for name in FAULTS),
    )


def numbers_of(figures: Mapping[str, Any], within: str = "") -> dict[str, float]:
    """All numbers among figures, those within others too, by their names: `latency_ms.p50`."""
    found: dict[str, float] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            found |= numbers_of(value, f"{within}{name}.")
        elif isinstance(value, int | float):
            found[within + name] = value
    return found


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure over runs."""
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}


@contextlib.contextmanager
def source_tree(revision: str) -> Iterator[Path]:
    """The sources of a revision in a folder of their own, gone afterwards. Raises `SettingsError`."""
    with tempfile.TemporaryDirectory(prefix="stream-scorer-revision-") as folder:
        tree, git = Path(folder) / "tree", ["git", "-C", str(ROOT), "worktree"]
        made = subprocess.run(
            [*git, "add", "--detach", str(tree), revision], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise SettingsError(f"--against {revision}: git can't check it out ({made.stderr.strip()}). Name a commit.")
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], capture_output=True, check=False)


@contextlib.asynccontextmanager
async def bench_broker(bootstrap: str | None, say: Say) -> AsyncIterator[str]:
    """The address of one broker for several measurements."""
    from stream_scorer.operations.local_broker import LocalBroker

    if bootstrap is not None:
        yield bootstrap
        return
    say("Starting Apache Kafka on this machine")
    with contextlib.ExitStack() as stack:
        broker = await asyncio.to_thread(stack.enter_context, LocalBroker(tuned=True, progress=say))
        yield broker.bootstrap
