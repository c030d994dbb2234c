"""A trace that asks the worker where an id's records lie, on a real Kafka: the same records as a read of all topics
gives, from a few of them; and where no worker can say, all topics are read."""

import asyncio
import json

from typer import Typer
from typer.testing import CliRunner

from stream_scorer.commands import trace as command
from stream_scorer.operations.audit.id_trace import Trace, trace, trace_by_state
from stream_scorer.runtime.kafka.client import client_options
from tests.support.builders import an_event, an_outcome
from tests.support.workers import Environment, stopped

OTHERS = 400


def places(found: Trace) -> list[str]:
    return [f"{seen.topic}-{seen.partition}@{seen.offset}" for seen in found.records]


async def both(environment: Environment, id_: str) -> tuple[Trace, Trace]:
    settings, names = environment.settings, environment.names
    found = await trace_by_state(settings, names, id_)
    assert found is not None
    return found, await trace(client_options(settings.kafka), names, id_)


async def test_the_worker_leads_to_the_same_records_without_reading_the_topics(environment: Environment) -> None:
    await environment.start()
    await environment.topics.observe(an_event("astray"), key=b"other", partition=0)
    await environment.topics.observe(an_event("corrected"), *(an_event(f"o-{number}") for number in range(OTHERS)))
    await environment.topics.report(an_outcome("early", True))
    await environment.settled()
    await environment.topics.report(an_outcome("corrected", True))
    await environment.settled()
    await environment.topics.report(an_outcome("corrected", False))
    await environment.topics.observe(an_event("early"))
    await environment.settled()
    for id_, records in {"astray": 2 + 1, "corrected": 2 + 4, "early": 2 + 3, "o-7": 2}.items():
        found, whole = await both(environment, id_)
        # the one that lies on its own partition is not moved
        assert len(found.records) in (records, records - 1)
        assert places(found) == places(whole)
        assert [seen.details for seen in found.records] == [seen.details for seen in whole.records]
        assert found.records_read < OTHERS / 2 < whole.records_read
        assert (found.is_complete, whole.is_complete) == (False, True)


def run(environment: Environment, *arguments: str) -> tuple[int, str]:
    app = Typer()
    app.callback()(lambda: None)
    command.register(app)
    options = ["--bootstrap", environment.bootstrap, "--prefix", environment.settings.topics.prefix]
    result = CliRunner().invoke(app, ["trace", *arguments, *options])
    return result.exit_code, result.stdout


async def test_the_command_asks_first_and_reads_where_nobody_can_say(environment: Environment) -> None:
    worker = await environment.start()
    await environment.topics.observe(an_event("twice"), an_event("twice"), an_event("twice", hour=9))
    await environment.settled()
    status, printed = await asyncio.to_thread(run, environment, "twice")
    assert (status, "--read-all" in printed) == (0, True)
    status, printed = await asyncio.to_thread(run, environment, "twice", "--read-all", "--json")
    assert (status, len(json.loads(printed)["records"])) == (0, 5)
    status, printed = await asyncio.to_thread(run, environment, "nobody", "--json")
    assert (status, json.loads(printed)["is_complete"]) == (1, True)
    assert await stopped(worker) == 0
    status, printed = await asyncio.to_thread(run, environment, "twice", "--json")
    assert (status, len(json.loads(printed)["records"])) == (0, 5)
