"""Events of producers that use a schema registry, on a real broker: scored and joined where that is set, dead-lettered
with their frame where not."""

import asyncio
import subprocess
import sys

from tests.support.builders import an_event, an_outcome
from tests.support.workers import Environment

FRAME = b"\0\0\0\0\x07"


async def test_framed_events_are_scored_joined_and_moved_where_that_is_set(environment: Environment) -> None:
    await environment.start(worker__schema_registry_frames=True)
    await environment.topics.observe(*(FRAME + an_event(f"id-{n}") for n in range(40)), an_event("plain"))
    await environment.topics.report(*(FRAME + an_outcome(f"id-{n}") for n in range(40)))
    await environment.settled()
    said = await environment.topics.read()
    assert {record.key for record in said.predictions} == {*(b"id-%d" % n for n in range(40)), b"plain"}
    assert not said.letters
    audit = [sys.executable, "-m", "stream_scorer", "audit", "--bootstrap", environment.bootstrap]
    ended = await asyncio.to_thread(
        subprocess.run, [*audit, "--prefix", environment.settings.topics.prefix], capture_output=True, timeout=60
    )
    assert ended.returncode == 0, ended.stdout.decode()


async def test_a_framed_event_is_a_dead_letter_with_its_frame_elsewhere(environment: Environment) -> None:
    await environment.start()
    await environment.topics.observe(FRAME + an_event("a"))
    await environment.settled()
    (letter,) = (await environment.topics.read()).letters
    assert letter.value == FRAME + an_event("a")
    assert b"a schema registry's frame before it, schema 7" in dict(letter.headers)["scorer.errors"]
