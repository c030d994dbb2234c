"""The client against a real Kafka and a real worker: every event gets the answer that the topics hold."""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest

from stream_scorer.client import (
    Answer,
    Client,
    Code,
    Predicted,
    Redelivered,
    Rejected,
    Source,
    Stage,
    TimedOut,
    check,
    check_outcome,
)
from stream_scorer.core.audit.id_timeline import RecordKind
from stream_scorer.core.records.partitioner import partition_of
from stream_scorer.errors import OutageError, SettingsError, TopicsError
from stream_scorer.operations.audit.id_trace import Trace, trace
from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.operations.reading.topic_reader import Reader
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply
from stream_scorer.runtime.settings.settings import load_settings
from tests.integration.broker_sources import Broker
from tests.integration.topic_writer import writing
from tests.support.builders import an_event, an_observation
from tests.support.workers import ROOT

PARTITIONS = 4
# However slow the machine: who waits for longer waits in vain
WAIT_S_MAX = 60.0


class Served(NamedTuple):
    """An environment in which a worker runs."""

    bootstrap: str
    names: TopicNames


@pytest.fixture(scope="module")
def served(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One worker for all tests here: each asks under ids of its own."""
    prefix, folder = f"t-{secrets.token_hex(4)}.", tmp_path_factory.mktemp("client")
    asyncio.run(apply(load_settings(None, {}, {"kafka.bootstrap": broker.bootstrap, "topics.prefix": prefix})))
    environ = {"PYTHONPATH": str(ROOT), "STREAM_SCORER_WORKER_STATE_FOLDER": str(folder / "state")}
    with WorkerProcess(broker.bootstrap, prefix=prefix, folder=folder, environ=environ) as worker:
        worker.wait_ready()
        yield Served(broker.bootstrap, TopicNames(prefix))


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Client]:
    async with Client(served.bootstrap, prefix=served.names.prefix, client_id="east") as client:
        yield client


async def ask(client: Client, id_: str, **changes: Any) -> Answer:
    return await client.score(id_, an_observation(**changes), timeout_s=WAIT_S_MAX)


async def traced(served: Served, id_: str) -> Trace:
    return await trace({"bootstrap_servers": served.bootstrap}, served.names, id_)


async def test_a_valid_observation_gets_the_prediction_that_consumers_read(client: Client, served: Served) -> None:
    answer = await ask(client, "valid")
    assert isinstance(answer, Predicted)
    (published,) = [seen for seen in (await traced(served, "valid")).records if seen.what is RecordKind.PREDICTION]
    assert published.details["proba"] == answer.prediction.proba
    assert published.details["source"] == {
        "partition": answer.prediction.source.partition,
        "offset": answer.prediction.source.offset,
    }
    assert answer.prediction.source.partition == partition_of(b"valid", PARTITIONS)
    assert answer.moved_from is None


async def test_a_broken_observation_gets_every_reason_and_its_dead_letter(client: Client, served: Served) -> None:
    answer = await ask(client, "broken", SubjectAge=5, hour="late")
    assert isinstance(answer, Rejected)
    assert [(reason.code, reason.field) for reason in answer.reasons] == [
        (Code.NOT_AN_INTEGER, "hour"),
        (Code.OUT_OF_RANGE, "SubjectAge"),
    ]
    assert answer.stage is Stage.CONTRACT
    assert answer.reasons == check({"id": "broken", "observation": an_observation(SubjectAge=5, hour="late")})
    (letter,) = [seen for seen in (await traced(served, "broken")).records if seen.what is RecordKind.DEAD_LETTER]
    assert answer.letter == Source(letter.partition, letter.offset)


@pytest.mark.parametrize("value", [b"{", b"", b"\xff", b"[]"], ids=["cut off", "empty", "not UTF-8", "list"])
async def test_what_has_no_id_is_answered_too(client: Client, value: bytes) -> None:
    answer = await client.ask(value, timeout_s=WAIT_S_MAX)
    assert isinstance(answer, Rejected)
    assert answer.stage is Stage.DECODE
    assert answer.reasons == check(value)


async def test_an_identical_observation_gets_its_earlier_prediction(client: Client) -> None:
    first, again = await ask(client, "twice"), await ask(client, "twice")
    assert isinstance(first, Predicted)
    assert isinstance(again, Redelivered)
    assert again.prediction == first.prediction
    assert again.source.offset > first.prediction.source.offset


async def test_an_earlier_prediction_is_found_behind_many_others(client: Client) -> None:
    first = await ask(client, "long-ago")
    others = [(f"other-{number}", an_observation(SubjectAge=10 + number % 91)) for number in range(3_000)]
    counted = [answer async for answer in client.score_many(others, timeout_s=WAIT_S_MAX)]
    assert {type(answer) for answer in counted} == {Predicted}
    again = await ask(client, "long-ago")
    assert isinstance(first, Predicted)
    assert isinstance(again, Redelivered)
    assert again.prediction == first.prediction


async def test_another_observation_under_the_same_id_gets_the_conflict(client: Client) -> None:
    first, other = await ask(client, "conflict"), await ask(client, "conflict", SubjectAge=77)
    assert isinstance(first, Predicted)
    assert isinstance(other, Rejected)
    (reason,) = other.reasons
    assert (reason.code, other.stage) == (Code.CONFLICT, Stage.CONFLICT)
    assert reason.details == {"first_offset": first.prediction.source.offset, "columns": ["SubjectAge"]}


async def test_the_same_id_asked_many_times_at_once_is_scored_once(client: Client) -> None:
    answers = await asyncio.gather(*(ask(client, "at-once") for _ in range(20)))
    predicted = [answer for answer in answers if isinstance(answer, Predicted)]
    redelivered = [answer for answer in answers if isinstance(answer, Redelivered)]
    assert (len(predicted), len(redelivered)) == (1, 19)
    assert {json.dumps(answer.prediction and answer.prediction.id) for answer in redelivered} == {'"at-once"'}
    assert all(answer.prediction == predicted[0].prediction for answer in redelivered)


async def test_many_answers_come_in_the_order_of_the_questions(client: Client) -> None:
    asked = [(f"many-{number}", an_observation(hour=99 if number % 7 == 0 else 3)) for number in range(500)]
    answers = [answer async for answer in client.score_many(asked, timeout_s=WAIT_S_MAX, at_once=100)]
    assert [isinstance(answer, Rejected) for answer in answers] == [number % 7 == 0 for number in range(500)]
    ids = [answer.prediction.id for answer in answers if isinstance(answer, Predicted)]
    assert ids == [id_ for id_, columns in asked if columns["hour"] == 3]


@pytest.mark.parametrize("partition", range(PARTITIONS))
async def test_an_event_that_is_moved_is_followed(client: Client, partition: int) -> None:
    home = partition_of(b"%d-moved" % partition, PARTITIONS)
    answer = await client.ask(an_event(f"{partition}-moved"), timeout_s=WAIT_S_MAX, partition=partition, keyed=False)
    assert isinstance(answer, Predicted)
    assert answer.prediction.source.partition == home
    assert (answer.moved_from and answer.moved_from.partition) == (None if home == partition else partition)


async def test_a_moved_repeat_is_a_redelivery_where_it_was_moved_to(client: Client) -> None:
    first = await ask(client, "moved-again")
    home = partition_of(b"moved-again", PARTITIONS)
    answer = await client.ask(an_event("moved-again"), timeout_s=WAIT_S_MAX, partition=(home + 1) % PARTITIONS)
    assert isinstance(first, Predicted)
    assert isinstance(answer, Redelivered)
    assert (answer.source.partition, answer.prediction) == (home, first.prediction)


async def test_what_kafka_does_not_take_is_refused_without_being_sent(client: Client) -> None:
    answer = await client.ask(an_event("huge")[:-1] + b" " * 2_000_000 + b"}", timeout_s=WAIT_S_MAX)
    assert isinstance(answer, Rejected)
    assert [reason.code for reason in answer.reasons] == [Code.TOO_LARGE]
    assert (answer.source, answer.letter) == (None, None)


async def test_a_reported_outcome_is_joined(client: Client, served: Served) -> None:
    await ask(client, "joined")
    source = await client.report_outcome("joined", True)
    assert source.partition == partition_of(b"joined", PARTITIONS)
    async with asyncio.timeout(WAIT_S_MAX):
        while not (updates := await updates_of(served, "joined")):
            await asyncio.sleep(0.1)
    assert [(update["status"], update["source"]["offset"]) for update in updates] == [("joined", source.offset)]


async def updates_of(served: Served, id_: str) -> list[dict[str, Any]]:
    found = await traced(served, id_)
    return [seen.details for seen in found.records if seen.what is RecordKind.OUTCOME_UPDATE]


async def test_records_say_who_sent_them(client: Client, served: Served) -> None:
    await ask(client, "named")
    async with Reader({"bootstrap_servers": served.bootstrap}) as reader:
        spans = await reader.spans([served.names.observations])
        headers = [
            record.headers async for _, records in reader.read(spans) for record in records if record.key == b"named"
        ]
    assert headers == [(("client-id", b"east"),)]


async def test_a_client_that_was_idle_hears_its_next_answer(client: Client) -> None:
    await ask(client, "before")
    await asyncio.sleep(1.5)
    assert isinstance(await ask(client, "after"), Predicted)


async def test_the_programs_in_the_documentation_do_what_they_say(
    client: Client, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    for program in programs:
        exec(program, names)
    await names["score_a_stop"](served.bootstrap, served.names.prefix)
    await names["score_a_stop"](served.bootstrap, served.names.prefix)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(("True 0.", "False 0."))
    assert second == f"scored before {first.split()[1]}"
    names["try_golden_events"](ROOT / "topics" / "golden-events.jsonl")


# Without a worker, without Kafka


async def test_without_a_worker_it_says_where_the_event_lies(broker: Broker, prefix: str) -> None:
    async with writing(broker.bootstrap, prefix), Client(broker.bootstrap, prefix=prefix) as client:
        answer = await client.score("alone", an_observation(), timeout_s=1)
        while isinstance(answer, TimedOut) and answer.source is None:
            # a broker that is slow to take it is not what this is about
            answer = await client.score("alone", an_observation(), timeout_s=1)
        assert isinstance(answer, TimedOut)
        assert answer.source is not None
        assert answer.source.partition == partition_of(b"alone", PARTITIONS)
        assert f"{prefix}stops.observations-{answer.source.partition}@{answer.source.offset}" in answer.why


async def test_what_an_open_transaction_says_is_no_answer_until_it_is_committed(broker: Broker, prefix: str) -> None:
    async with writing(broker.bootstrap, prefix) as hand, Client(broker.bootstrap, prefix=prefix) as client:
        asking = asyncio.create_task(client.score("a", an_observation(), timeout_s=WAIT_S_MAX))
        observation = await first_observation(hand.options, hand.names)
        await hand.producer.begin_transaction()
        await hand.predict(observation)
        await hand.commit(observation)
        await asyncio.sleep(0.5)
        assert not asking.done()
        await hand.producer.abort_transaction()
        async with hand.producer.transaction():
            prediction = await hand.predict(observation)
            await hand.commit(observation)
        answer = await asking
        assert isinstance(answer, Predicted)
        assert prediction.value is not None
        assert json.loads(prediction.value)["scored_at"] == answer.prediction.scored_at


async def test_a_repeat_whose_prediction_is_gone_is_still_a_redelivery(broker: Broker, prefix: str) -> None:
    async with writing(broker.bootstrap, prefix) as hand, Client(broker.bootstrap, prefix=prefix) as client:
        asking = asyncio.create_task(client.score("a", an_observation(), timeout_s=WAIT_S_MAX))
        observation = await first_observation(hand.options, hand.names)
        async with hand.producer.transaction():
            await hand.commit(observation)
        assert await asking == Redelivered(Source(observation.partition, observation.offset), None)


async def test_what_was_aborted_does_not_keep_a_redelivery_waiting(broker: Broker, prefix: str) -> None:
    async with writing(broker.bootstrap, prefix) as hand, Client(broker.bootstrap, prefix=prefix) as client:
        asking = asyncio.create_task(client.score("a", an_observation(), timeout_s=WAIT_S_MAX))
        observation = await first_observation(hand.options, hand.names)
        async with hand.producer.transaction():
            await hand.commit(observation)
            await hand.reject(await hand.observe(b"[]", observation.partition))
        await hand.producer.begin_transaction()
        await hand.predict(observation)
        await hand.producer.abort_transaction()
        assert isinstance(await asking, Redelivered)


async def first_observation(options: dict[str, str], names: TopicNames) -> Any:
    """Wait for the first record of the observations."""
    async with Reader(options) as reader, asyncio.timeout(WAIT_S_MAX):
        while True:
            async for _, records in reader.read(await reader.spans([names.observations])):
                return records[0]
            await asyncio.sleep(0.02)


async def test_missing_topics_are_told_with_what_to_do(broker: Broker, prefix: str) -> None:
    with pytest.raises(TopicsError, match="topics apply"):
        await Client(broker.bootstrap, prefix=prefix).__aenter__()


async def test_a_broker_that_is_away_is_told(unused_tcp_port: int) -> None:
    with pytest.raises(OutageError, match="does not answer"):
        await Client(f"127.0.0.1:{unused_tcp_port}").__aenter__()


@pytest.mark.parametrize(
    "options",
    [{"bootstrap": "nonsense"}, {"security_protocol": "SASL_SSL"}, {"prefix": "a b"}],
    ids=["address", "no password", "prefix"],
)
def test_options_that_can_not_be_used_are_told_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Client(**options)


# The contract, offline


def test_what_keeps_the_contract_has_no_reasons() -> None:
    assert check(an_event()) == ()
    assert check(an_event().decode()) == ()
    assert check({"id": 5, "observation": an_observation()}) == ()
    assert check_outcome({"id": 5, "true_class": 1}) == ()


def test_checks_need_no_connection_and_tell_every_reason() -> None:
    found = Client.check({"id": "", "observation": an_observation(hour=25)})
    assert [reason.code for reason in found] == [Code.INVALID_ID, Code.OUT_OF_RANGE]
    assert [reason.code for reason in check_outcome({"id": "a"})] == [Code.MISSING_TRUE_CLASS]


@pytest.mark.parametrize("text", ['"\ud800"', "{", ""], ids=["lone surrogate", "cut off", "empty"])
def test_no_text_makes_a_check_raise(text: str) -> None:
    assert check(text)
