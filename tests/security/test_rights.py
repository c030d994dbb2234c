"""The rights that the table gives a role are enough for its work; each of them is needed, and named where it lacks."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_scorer.client import Client, Predicted, Redelivered, Rejected, TimedOut
from stream_scorer.client.stop_lookup import StopLookup
from stream_scorer.core.quality.windowed_evaluation import Window
from stream_scorer.core.records.model_control import (
    FORMAT,
    AcceptanceTest,
    ControlAct,
    DeployedModels,
    ModelControl,
    environment_of,
)
from stream_scorer.errors import SettingsError, TopicsError, UserError
from stream_scorer.gateway.outcome_replies import OutcomeReplies, Waiting
from stream_scorer.models.artifacts.files import FILES, read_files
from stream_scorer.models.registry.default_model import ensure_default_model
from stream_scorer.models.registry.model_directory import load_model
from stream_scorer.operations.audit.id_trace import trace
from stream_scorer.operations.audit.report import audit
from stream_scorer.operations.dead_letters.service import open_service
from stream_scorer.operations.harness.worker_process import WorkerProcess
from stream_scorer.operations.rollout.model_store import NewModel
from stream_scorer.operations.rollout.retained_stops import retained_stops
from stream_scorer.operations.rollout.service import open_rollout, served
from stream_scorer.operations.sending.event_sender import EventSender
from stream_scorer.operations.sending.schedule import ScheduledEvent
from stream_scorer.runtime.cluster.acl_check import check_worker_rights
from stream_scorer.runtime.cluster.acls import Acl, Kind, Operation, Role, rights_of
from stream_scorer.runtime.cluster.topic_admin import TopicNames, apply, check_cluster
from stream_scorer.runtime.kafka.client import client_options
from stream_scorer.runtime.kafka.errors import to_user_error
from stream_scorer.runtime.kafka.protocol.client import ProtocolClient
from stream_scorer.runtime.publishing.producer_identity import initialise
from stream_scorer.runtime.rollout.judge import write_control
from stream_scorer.runtime.settings.settings import Settings
from tests.integration.topic_writer import elsewhere
from tests.security.acl_grants import granting
from tests.security.conftest import Locked, password_of
from tests.support.builders import an_event, an_outcome
from tests.support.judges import WORSE, a_judge
from tests.support.rollout import a_new_model, a_served_model, rollout_on, worker_hand
from tests.support.workers import ended, until

PREFIX = "locked."
NAMES = TopicNames(PREFIX)
WAIT_S_MAX = 20.0
LOOK_EVERY_S = 0.05
# What was granted or taken away counts after so long, where nothing tells when it does
COUNTS_WITHIN_S = 0.3
# A reader's client asks again for ever where its topic is hidden from it
CONSUMER_WAIT_S = 2.0

Work = Callable[[Settings], Awaitable[None]]


@pytest.fixture(scope="module")
def granted(locked: Locked) -> Locked:
    """Every role has the rights of the table in one environment, and no more; the admin has made its topics."""
    asyncio.run(_grant_all(locked))
    return locked


async def _grant_all(locked: Locked) -> None:
    async with granting(locked.inner) as administrator:
        for role in Role:
            await administrator.grant(role, rights_of(role, PREFIX))
    await until_passes(lambda: apply(locked.settings_of(Role.ADMIN, PREFIX)))
    await until_passes(lambda: check_worker_rights(locked.settings_of(Role.WORKER, PREFIX)))


async def until_passes(work: Callable[[], Awaitable[object]]) -> None:
    """A right that was granted counts a moment later."""
    end_s = time.monotonic() + WAIT_S_MAX
    while True:
        try:
            await work()
        except UserError:
            if time.monotonic() > end_s:
                raise
            await asyncio.sleep(LOOK_EVERY_S)
        else:
            return


async def until_refused(work: Callable[[], Awaitable[object]]) -> Exception:
    """A right that was taken away counts for a moment more; what is said once it does not."""
    end_s = time.monotonic() + WAIT_S_MAX
    while True:
        try:
            await work()
        except (UserError, KafkaError) as error:
            return error
        assert time.monotonic() < end_s, "it goes on without the right"
        await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def without(locked: Locked, role: Role, *rights: Acl) -> AsyncIterator[None]:
    """The role lacks these rights."""
    async with granting(locked.inner) as administrator:
        for right in rights:
            await administrator.take_away(role, right)
        try:
            yield
        finally:
            await administrator.grant(role, rights)


def a_worker(locked: Locked, folder: Path) -> WorkerProcess:
    environ = {
        "STREAM_SCORER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "STREAM_SCORER_KAFKA_SSL_CA_FILE": str(locked.certificates.authority_file),
        "STREAM_SCORER_KAFKA_SASL_USERNAME": Role.WORKER,
        "STREAM_SCORER_KAFKA_SASL_PASSWORD": password_of(Role.WORKER),
        "STREAM_SCORER_WORKER_STATE_FOLDER": str(folder / "state"),
    }
    return WorkerProcess(locked.bootstrap, prefix=PREFIX, folder=folder, environ=environ)


def settings_in(locked: Locked, role: Role, folder: Path) -> Settings:
    settings = locked.settings_of(role, PREFIX)
    worker = msgspec.structs.replace(settings.worker, state_folder=str(folder))
    operator = msgspec.structs.replace(settings.operator, replays_max=1_000)  # the same letters, again and again
    return msgspec.structs.replace(settings, worker=worker, operator=operator)


# What each role does all day


async def produce(settings: Settings) -> None:
    async with EventSender(client_options(settings.kafka)) as sender:
        broken = [ScheduledEvent(0, topic, None, b"not an event", 0) for topic in (NAMES.observations, NAMES.outcomes)]
        await sender.send([*broken, ScheduledEvent(0, NAMES.observations, b"of a producer", an_event("of a producer"))])
        await sender.settle()


async def ask(settings: Settings) -> None:
    async with Client.of(settings) as client:
        assert isinstance(await client.ask(an_event("asked")), Predicted | Redelivered)
        assert isinstance(await client.ask(an_event("asked")), Redelivered)
        assert isinstance(await client.ask(an_event("broken", hour=99)), Rejected)
        astray = f"astray-{secrets.token_hex(4)}"
        assert isinstance(await client.ask(an_event(astray), partition=elsewhere(astray)), Predicted)
        await client.deliver_outcome(an_outcome("asked", True))


async def serve(settings: Settings) -> None:
    """What a gateway does: every kind of answer, an outcome's too, and the owner of an id."""
    id_ = f"served-{secrets.token_hex(4)}"
    async with Client.of(settings) as client, StopLookup(settings) as lookup:
        replies = OutcomeReplies(settings, client.partitions)
        await replies.start()
        try:
            assert isinstance(await client.ask(an_event(id_)), Predicted)
            assert isinstance(await client.ask(an_event(id_, hour=99)), Rejected)
            assert (await lookup.ask(id_, client.partitions)).status == "predicted"
            event, waiting = an_outcome(id_), Waiting(id_.encode(), asyncio.get_running_loop().create_future())
            async with asyncio.timeout(CONSUMER_WAIT_S * 5):
                await replies.update_of(id_.encode(), waiting, lambda: client.deliver_outcome(event))
            astray = f"astray-{secrets.token_hex(4)}"
            assert isinstance(await client.ask(an_event(astray), partition=elsewhere(astray)), Predicted)
        except TimeoutError as error:
            raise KafkaError(f"nothing comes from {NAMES.outcome_updates}") from error
        finally:
            await replies.stop()


async def consume(settings: Settings, wait_s: float = WAIT_S_MAX) -> None:
    consumer = AIOKafkaConsumer(
        **client_options(settings.kafka),
        group_id=f"{PREFIX}readers-of-tests",
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await consumer.start()
        consumer.subscribe([NAMES.predictions, NAMES.outcome_updates])
        seen: set[str] = set()
        async with asyncio.timeout(wait_s):
            while len(seen) < 2:
                seen |= {partition.topic for partition in await consumer.getmany(timeout_ms=500)}
        await consumer.commit()
    except TimeoutError as error:  # the topic that it says nothing of
        raise KafkaError(
            f"nothing comes from {', '.join({NAMES.predictions, NAMES.outcome_updates} - seen)}"
        ) from error
    finally:
        await consumer.stop()


async def operate(settings: Settings) -> None:
    options = client_options(settings.kafka)
    assert (await audit(options, NAMES, settings.group_name)).is_fine
    assert (await trace(options, NAMES, "of a producer")).records
    async with open_service(settings, who="operator") as office:
        await office.refresh()
        assert (await office.replay(failing_too=True, yes=True)).replayed >= 2


async def deploy(settings: Settings) -> None:
    folder = ensure_default_model()
    loaded, (files, digest) = load_model(folder), read_files(folder)
    contents = {name: files[name] for name in FILES}
    async with open_rollout(settings, who="deployer") as rollout:
        await rollout.upload(a_new_model(f"new-{secrets.token_hex(4)}"))
        await rollout.upload(NewModel("default", digest, loaded.threshold, loaded.form, contents))
        planned = await rollout.plan_deploy(served("default", digest, loaded.threshold), "champion")
        await rollout.commit(planned)
        assert (await rollout.status()).control is not None
    await retained_stops(settings, Window())


async def decide(settings: Settings) -> None:
    """What a judge writes; here it is too late to count."""
    control = ModelControl(
        format=FORMAT,
        environment=environment_of(PREFIX),
        based_on=1 << 40,
        act=ControlAct.WITHDRAW,
        models=DeployedModels(champion=a_served_model()),
        test=AcceptanceTest(),
        who="judge",
        at="2026-11-27T08:00:00.000Z",
    )
    await write_control(client_options(settings.kafka), NAMES.model_control, control)


WORK: dict[Role, Work] = {
    Role.JUDGE: decide,
    Role.PRODUCER: produce,
    Role.ASKING_PRODUCER: ask,
    Role.GATEWAY: serve,
    Role.CONSUMER: consume,
    Role.OPERATOR: operate,
    Role.DEPLOYER: deploy,
}


def _named(right: Acl) -> str:
    return f"{right.operation} {right.kind} {right.name}"


# The worker


@pytest.mark.parametrize("right", rights_of(Role.WORKER, PREFIX), ids=_named)
async def test_each_right_that_a_worker_lacks_is_named_at_its_start(granted: Locked, right: Acl) -> None:
    settings = granted.settings_of(Role.WORKER, PREFIX)
    async with without(granted, Role.WORKER, right):
        error = await until_refused(lambda: check_worker_rights(settings))
    assert isinstance(error, SettingsError)
    assert str(right) in str(error)
    await until_passes(lambda: check_worker_rights(settings))


async def test_a_worker_without_rights_ends_and_names_them_all(granted: Locked, tmp_path: Path) -> None:
    lacking = [right for right in rights_of(Role.WORKER, PREFIX) if right.operation is Operation.READ]
    settings = granted.settings_of(Role.WORKER, PREFIX)
    async with without(granted, Role.WORKER, *lacking):
        await until_refused(lambda: check_worker_rights(settings))
        with a_worker(granted, tmp_path).start() as worker:
            assert await ended(worker) == 2
    log = worker.log_path.read_text()
    assert [str(right) for right in lacking if str(right) not in log] == []
    await until_passes(lambda: check_worker_rights(settings))


@pytest.mark.long
@pytest.mark.parametrize(
    "right",
    [
        Acl(Kind.TOPIC, NAMES.predictions, Operation.WRITE, False, "to publish results"),
        Acl(Kind.GROUP, f"{PREFIX}stream-scorer", Operation.READ, False, "to share the partitions among workers"),
    ],
    ids=_named,
)
async def test_a_right_that_is_taken_away_while_it_runs_ends_the_worker_and_is_named(
    granted: Locked, right: Acl, tmp_path: Path
) -> None:
    settings = granted.settings_of(Role.WORKER, PREFIX)
    with a_worker(granted, tmp_path).start() as worker:
        await asyncio.to_thread(worker.wait_ready)
        async with without(granted, Role.WORKER, right):
            await until_refused(lambda: check_worker_rights(settings))
            await send_one(granted, f"without {right.kind}")
            assert await ended(worker) == 2
    assert str(right) in worker.log_path.read_text()
    await until_passes(lambda: check_worker_rights(settings))


async def send_one(granted: Locked, id_: str) -> None:
    async with EventSender({"bootstrap_servers": granted.inner}) as sender:
        await sender.send([ScheduledEvent(0, NAMES.observations, id_.encode(), an_event(id_))])
        await sender.settle()


async def test_a_lane_that_may_not_publish_names_its_transactional_id(granted: Locked) -> None:
    settings = granted.settings_of(Role.WORKER, PREFIX)
    client = ProtocolClient(client_options(settings.kafka), request_timeout_ms=10_000)
    await client.start()
    with pytest.raises(KafkaError) as raised:
        await initialise(client, "elsewhere-0", 10_000)
    await client.close()
    assert "lacks Write on the transactional id elsewhere-0" in str(
        to_user_error(raised.value, "scoring", granted.bootstrap)
    )


# Everybody else, while a worker with its least rights is at work


@pytest.fixture(scope="module")
def working(granted: Locked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("working")
    with a_worker(granted, folder).start() as worker:
        worker.wait_ready()
        # what the others look for is there
        asyncio.run(produce(settings_in(granted, Role.PRODUCER, folder)))
        asyncio.run(ask(settings_in(granted, Role.ASKING_PRODUCER, folder)))
        yield worker
        assert worker.stop() == 0


async def test_with_the_rights_of_the_table_everybody_can_do_their_work(
    granted: Locked, working: WorkerProcess, tmp_path: Path
) -> None:
    for role, work in WORK.items():
        await work(settings_in(granted, role, tmp_path))
    assert working.exit_status() is None


async def test_a_judge_that_may_not_write_says_so_until_it_may(granted: Locked) -> None:
    prefix = "judged."
    topic, worker = TopicNames(prefix).model_control, granted.settings_of(Role.WORKER, prefix)
    async with granting(granted.inner) as administrator:
        await administrator.grant(Role.WORKER, rights_of(Role.WORKER, prefix))
    async with rollout_on(granted.inner, prefix) as rollout, worker_hand(rollout.settings) as hand:
        champion, candidate = a_served_model("champion", "a"), a_served_model("candidate", "b")
        await rollout.commit(await rollout.plan_deploy(champion, "champion"))
        act = await rollout.commit(await rollout.plan_deploy(candidate, "shadow", auto=True))
        write = partial(write_control, client_options(worker.kafka), topic)
        async with a_judge(rollout.settings, write) as running:
            await hand.count(act.control.models, candidate, WORSE)
            await until(lambda: "role judge" in running.held_up(), "it says which right is missing")
            assert set(running.told) == {"missing_right"}
            async with granting(granted.inner) as administrator:
                await administrator.grant(Role.WORKER, rights_of(Role.JUDGE, prefix))
            await until(lambda: "withdrawn" in running.told, "it withdraws the candidate")
            assert running.held_up() == ""


# Without it they know less, and nothing fails: see below
GOOD_TO_HAVE = next(right for right in rights_of(Role.ASKING_PRODUCER, PREFIX) if right.kind is Kind.GROUP)
NEEDED = [
    pytest.param(role, right, id=f"{role} {_named(right)}")
    for role in WORK
    for right in rights_of(role, PREFIX)
    if (role, right) != (Role.ASKING_PRODUCER, GOOD_TO_HAVE)
]


@pytest.mark.parametrize(("role", "right"), NEEDED)
async def test_without_one_of_their_rights_they_can_not_and_hear_of_it(
    granted: Locked, working: WorkerProcess, role: Role, right: Acl, tmp_path: Path
) -> None:
    settings = settings_in(granted, role, tmp_path)
    work = partial(consume, wait_s=CONSUMER_WAIT_S) if role is Role.CONSUMER else WORK[role]
    async with without(granted, role, right):
        await asyncio.sleep(COUNTS_WITHIN_S)
        error = await until_refused(lambda: work(settings))
    assert right.name in str(error)
    assert working.exit_status() is None
    if role is Role.OPERATOR:
        await asyncio.gather(*(end_orphan(granted, f"{settings.group_name}-replay-{lane}") for lane in range(4)))


async def end_orphan(granted: Locked, transactional_id: str) -> None:
    """Where a right fails within a transaction the client can't end it, and readers would wait for its timeout."""
    producer = AIOKafkaProducer(bootstrap_servers=granted.inner, transactional_id=transactional_id)
    await producer.start()
    await producer.stop()


async def test_a_producer_that_may_not_look_at_the_group_only_hears_nothing_of_redeliveries(
    granted: Locked, working: WorkerProcess
) -> None:
    async with without(granted, Role.ASKING_PRODUCER, GOOD_TO_HAVE):
        await asyncio.sleep(COUNTS_WITHIN_S)
        async with Client.of(granted.settings_of(Role.ASKING_PRODUCER, PREFIX)) as client:
            assert isinstance(await client.ask(an_event("asked in the dark")), Predicted)
            assert isinstance(await client.ask(an_event("asked in the dark"), timeout_s=1.0), TimedOut)
    assert working.exit_status() is None


# The admin


async def test_an_admin_who_may_not_create_a_topic_hears_which(granted: Locked) -> None:
    prefix = "bare."
    rights = rights_of(Role.ADMIN, prefix)
    lacking = next(right for right in rights if right.name.endswith("ledger") and right.operation is Operation.CREATE)
    async with granting(granted.inner) as administrator:
        await administrator.grant(Role.ADMIN, [right for right in rights if right != lacking])
    settings = granted.settings_of(Role.ADMIN, prefix)
    with pytest.raises(TopicsError, match=r"bare.stops.ledger: this user may not create it. Grant it Create"):
        await apply(settings)


async def test_an_admin_who_may_not_read_a_topics_limits_hears_which(granted: Locked) -> None:
    rights = rights_of(Role.ADMIN, PREFIX)
    lacking = next(right for right in rights if right.operation is Operation.DESCRIBE_CONFIGS)
    settings = granted.settings_of(Role.ADMIN, PREFIX)
    async with without(granted, Role.ADMIN, lacking):
        end_s = time.monotonic() + WAIT_S_MAX
        while not (problems := await check_cluster(settings)) and time.monotonic() < end_s:
            await asyncio.sleep(LOOK_EVERY_S)
    (problem,) = problems
    assert problem.startswith(f"{lacking.name}: its configuration is hidden")
    assert "DescribeConfigs" in problem
