"""The broker goes away and comes back, for a moment or for longer than a transaction lasts; workers start, stop and
join meanwhile.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_scorer.operations.local_broker import LocalBroker
from tests.support.traffic import feed, send, traffic
from tests.support.workers import an_environment, ended, stopped, until

OUTAGE = 75
# One name for all that are started in turn, so that the group does not wait for one that could not say good-bye
SETTINGS: dict[str, Any] = {"worker__batch_records_max": 100, "worker__group_instance_id": "w"}


@pytest.mark.fault("the broker is killed and is back soon", promise="the worker waits for it and goes on")
async def test_a_broker_that_is_killed_and_comes_back_soon_is_waited_for(
    own_broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    # patience for a slow machine, on which a broker may take a while to start
    settings = SETTINGS | {"worker__transaction_timeout_ms": 60_000}
    async with an_environment(own_broker.bootstrap, prefix, tmp_path, **settings) as environment:
        topics = environment.topics
        worker = await environment.start()
        feeding = asyncio.create_task(feed(topics, traffic(4_000)))
        await topics.read_until(lambda read: len(read.predictions) > 500, "the worker is at work")
        own_broker.kill()
        await asyncio.to_thread(own_broker.restart)
        await feeding
        result = await environment.account()
        assert result.ended["prediction"] > 3_500
        assert worker.exit_status() is None
        assert await stopped(worker) == 0


@pytest.mark.fault(
    "the broker is away for longer than a transaction may take", promise="exit status 75; the next start goes on"
)
async def test_an_outage_longer_than_a_transaction_ends_the_worker_with_75_and_another_start_goes_on(
    own_broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    # so small that it has batches left when the broker is gone
    settings = SETTINGS | {"worker__transaction_timeout_ms": 4_000, "worker__batch_records_max": 10}
    async with an_environment(own_broker.bootstrap, prefix, tmp_path, **settings) as environment:
        topics = environment.topics
        await send(topics, traffic(8_000))
        worker = await environment.start()
        await topics.read_until(lambda read: len(read.predictions) > 200, "the worker is at work")
        own_broker.kill()
        assert await ended(worker) == OUTAGE
        assert "once the broker is back" in worker.log()
        # a supervisor starts it again: it waits now, for however long it takes
        worker = environment.worker().start()
        await until(lambda: worker.http_status("/readyz") == 503, "the worker says that it is not ready")
        assert worker.http_status("/livez") == 200
        await asyncio.to_thread(own_broker.restart)
        result = await environment.account()
        assert result.ended["prediction"] > 5_500
        assert await stopped(worker) == 0


@pytest.mark.long
@pytest.mark.fault(
    "no broker for a minute, a supervised worker", promise="it is started again until the broker is back"
)
async def test_a_supervised_worker_gets_over_a_minute_without_a_broker(
    own_broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    async with an_environment(own_broker.bootstrap, prefix, tmp_path, **SETTINGS) as environment:
        topics = environment.topics
        await send(topics, traffic(6_000))
        worker = await environment.start()
        await topics.read_until(lambda read: len(read.predictions) > 200, "the worker is at work")
        own_broker.kill()
        back_at, statuses = time.monotonic() + 60, []
        while time.monotonic() < back_at:
            if (status := worker.exit_status()) is not None:
                statuses.append(status)
                worker = environment.worker().start()
            await asyncio.sleep(0.1)
        assert statuses == [OUTAGE]  # started again, it waits
        await asyncio.to_thread(own_broker.restart)
        result = await environment.account()
        assert result.ended["prediction"] > 5_500
        assert worker.exit_status() is None


@pytest.fixture
def patient_broker() -> Iterator[LocalBroker]:
    """One that does not give itself up for dead while it hangs: Kafka 4.1 to 4.4 leaves transactions without their end
    where a partition has no leader when they time out (KAFKA-20734)."""
    with LocalBroker(properties={"broker.session.timeout.ms": "60000"}) as running:
        yield running


@pytest.mark.long
@pytest.mark.fault("the broker hangs", promise="exit status 75")
async def test_a_broker_that_hangs_ends_the_worker_with_75(
    patient_broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    own_broker, settings = patient_broker, SETTINGS | {"worker__transaction_timeout_ms": 4_000}
    async with an_environment(own_broker.bootstrap, prefix, tmp_path, **settings) as environment:
        topics = environment.topics
        await send(topics, traffic(6_000))
        worker = await environment.start()
        await topics.read_until(lambda read: len(read.predictions) > 200, "the worker is at work")
        own_broker.pause()
        assert await ended(worker) == OUTAGE
        own_broker.resume()
        await environment.start()
        await environment.account()


@pytest.mark.parametrize(
    "at_work",
    [
        pytest.param(True, id="with work in hand", marks=pytest.mark.long),
        pytest.param(False, id="waiting for the broker"),
    ],
)
@pytest.mark.fault("SIGTERM while the broker is away", promise="the worker ends within its deadline")
async def test_sigterm_while_the_broker_is_away_ends_the_worker_within_its_deadline(
    own_broker: LocalBroker, prefix: str, tmp_path: Path, at_work: bool
) -> None:
    settings = SETTINGS | {"worker__shutdown_deadline_s": 5}
    async with an_environment(own_broker.bootstrap, prefix, tmp_path, **settings) as environment:
        topics = environment.topics
        await send(topics, traffic(2_000))
        worker = environment.worker().start()
        if at_work:
            await asyncio.to_thread(worker.wait_ready)
            own_broker.kill()
        else:
            own_broker.kill()
            await until(lambda: worker.http_status("/readyz") == 503, "the worker says that it is not ready")
        status = await stopped(worker)
        assert status in (0, 1) if at_work else status == 0  # 1 where it left a transaction to whoever comes next
        await asyncio.to_thread(own_broker.restart)
        await environment.start()
        await environment.account()


@pytest.mark.long
@pytest.mark.fault("one of three brokers is killed", promise="the worker goes on")
async def test_one_of_three_brokers_is_killed(three_brokers: LocalBroker, prefix: str, tmp_path: Path) -> None:
    settings = SETTINGS | {"topics__replication": 3}
    async with an_environment(three_brokers.bootstrap, prefix, tmp_path, **settings) as environment:
        topics = environment.topics
        worker = await environment.start()
        feeding = asyncio.create_task(feed(topics, traffic(4_000)))
        await topics.read_until(lambda read: len(read.predictions) > 500, "the worker is at work")
        three_brokers.kill(1)
        await feeding
        result = await environment.account()
        assert result.ended["prediction"] > 3_500
        assert worker.exit_status() in (None, OUTAGE)
