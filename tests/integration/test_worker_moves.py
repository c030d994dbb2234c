"""Records that lie on other partitions than their ids', or are not what they should be, by the thousand."""

import json
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stream_scorer.core.contract.observation_events import validate_observation
from stream_scorer.core.contract.reasons import Reason
from stream_scorer.models.synthetic.generator import Generator
from tests.support.builders import an_event, an_outcome
from tests.support.reference_audit import codes_of, place, source_of
from tests.support.workers import Environment, stopped

COUNT = 4_000
MUTATED = 10_000


async def test_events_wherever_they_lie_end_once_though_the_worker_is_killed(environment: Environment) -> None:
    """As librdkafka's producers send them without a key: three of four lie astray."""
    topics = environment.topics
    events = list(Generator(5).events(COUNT, broken_share=0))
    for partition in range(4):
        await topics.observe(*(event.value for event in events[partition::4]), partition=partition, key=None)
        outcomes = (an_outcome(event.id, event.true_class) for event in events[partition::8])
        await topics.report(*outcomes, partition=partition, key=None)
    worker = await environment.start(worker__group_instance_id="w", worker__batch_records_max=100)
    await topics.read_until(lambda read: len(read.predictions) > 200, "it is at work")
    worker.kill()
    worker = await environment.start(worker__group_instance_id="w")
    account = await environment.account()
    assert account.ended["prediction"] == COUNT
    assert account.ended["joined"] == COUNT // 2
    assert 0.7 < account.ended["move"] / (COUNT + COUNT // 2) < 0.8
    assert await stopped(worker) == 0


async def test_one_ids_predictions_and_dead_letters_keep_the_order_of_their_inputs(environment: Environment) -> None:
    """A key's records come out as they went in, whichever they became."""
    topics = environment.topics
    values = [an_event("a", hour=hour) for hour in (3, 3, 4, 5, 3, 6)]
    await topics.observe(*values, an_event("b"), *values)
    await environment.start()
    account = await environment.account(prediction=2, redelivery=5, dead_letter=6)
    letters = [source_of(letter)[1].offset for letter in account.read.letters]
    assert letters == sorted(letters)


def text_mutated(event: bytes, at: int, length: int, piece: bytes) -> bytes:
    """The bytes with something cut out, put in or written over."""
    start = at % (len(event) + 1)
    return event[:start] + piece + event[start + length :]


def column_mutated(event: bytes, at: int, value: Any, drop: bool) -> bytes:
    """The event with one thing missing, added or of another value."""
    mutated = json.loads(event)
    columns = mutated["observation"]
    target, name = [*((columns, name) for name in [*columns, "another"]), (mutated, "id"), (mutated, "observation")][
        at % 13
    ]
    if drop:
        target.pop(name, None)
    else:
        target[name] = value
    return json.dumps(mutated).encode()


EVENTS = [event.value for event in Generator(6).events(500, broken_share=0)]
PIECES = (
    b"",
    b'"',
    b"{",
    b"}",
    b"[",
    b",",
    b":",
    b"null",
    b"true",
    b"\\u0000",
    b"1e999",
    b"\xff",
    b"\xc3\xa9",
    b" ",
    b"0",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    20,
    -1,
    2**70,
    20.0,
    1e300,
    "",
    "20",
    "W",
    "é",
    [],
    {},
    [[]],
    {"a": None},
)


def mutated(random: Random) -> bytes:
    """One of the events with something wrong with it, or with nothing wrong by chance."""
    event = random.choice(EVENTS)
    if random.random() < 0.5:
        return column_mutated(event, random.randrange(13), random.choice(VALUES), random.random() < 0.2)
    for _ in range(random.randint(1, 3)):
        event = text_mutated(event, random.randrange(1_000), random.choice((0, 0, 1, 1, 5, 200)), random.choice(PIECES))
    return event


def mutated_events(count: int) -> list[bytes]:
    """The same ones in every run, no two of them alike."""
    found: dict[bytes, None] = {}

    @settings(
        max_examples=count // 50,  # more than are needed, because some are alike
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.randoms(use_true_random=True))
    def collect(random: Random) -> None:
        found.update((mutated(random), None) for _ in range(100))

    collect()
    return list(found)[:count]


async def test_ten_thousand_mutated_events_end_once_each_with_the_reasons_that_the_contract_gives(
    environment: Environment,
) -> None:
    values = mutated_events(MUTATED)
    assert len(values) == MUTATED
    await environment.topics.observe(*values)
    worker = await environment.start()
    account = await environment.account()
    assert sum(account.ended.values()) - account.ended["move"] == len(values)
    letters = {source_of(letter): codes_of(letter) for letter in account.read.letters}
    for record in account.read.observations:
        verdict = validate_observation(record.value)
        codes = [reason.code.value for reason in verdict if isinstance(reason, Reason)]
        found = letters.get((environment.names.observations, place(record)), [])
        assert found == codes or (not codes and found == ["conflict"])
    assert account.ended["prediction"] > 100
    assert account.ended["dead_letter"] > MUTATED // 2
    assert await stopped(worker) == 0
