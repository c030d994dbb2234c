"""The brake on dead letters in a real worker: a flood is held back, said in metric and log, and read on with later."""

import asyncio
import re

from tests.support.builders import an_event
from tests.support.workers import Environment, until


def figure(metrics: str, name: str) -> float:
    found = re.search(rf"^{name} ([0-9.e+-]+)$", metrics, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


async def test_a_flood_of_dead_letters_is_held_back_for_a_while(environment: Environment) -> None:
    topics = environment.topics
    worker = await environment.start(
        worker__dead_letter_brake_share=0.5,
        worker__dead_letter_brake_window_s=4,
        worker__dead_letter_brake_records_min=20,
        worker__batch_records_max=10,
    )
    await topics.observe(*[b"{"] * 40, partition=0)
    await until(
        lambda: figure(worker.metrics(), "stream_scorer_dead_letter_breaker_trips_total") == 1, "the brake is pulled"
    )
    await topics.observe(*[b"{"] * 40, partition=0)
    await asyncio.sleep(0.3)  # long enough for all of them, if they were read
    assert len((await topics.read()).letters) == 40
    assert figure(worker.metrics(), "stream_scorer_dead_letter_breaker_open") == 1
    assert "consumption pauses for as long" in worker.log()
    await topics.observe(*[an_event(f"ev-{number}") for number in range(5)])
    await environment.account(prediction=5, dead_letter=80)
    assert figure(worker.metrics(), "stream_scorer_dead_letter_breaker_trips_total") == 2


async def test_what_the_brake_keeps_out_is_seen_to_wait(environment: Environment) -> None:
    worker = await environment.start(
        worker__dead_letter_brake_share=0.5,
        worker__dead_letter_brake_window_s=240,
        worker__dead_letter_brake_records_min=20,
    )
    await environment.topics.observe(*[b"{"] * 40, partition=0)
    await until(
        lambda: figure(worker.metrics(), "stream_scorer_dead_letter_breaker_trips_total") == 1, "the brake is pulled"
    )
    sent = 40

    def waits() -> bool:
        """Whether all that has not become a dead letter is known to wait. A read under way may have taken some more."""
        metrics = worker.metrics()
        ended = figure(metrics, r'stream_scorer_observations_total\{end="dead_lettered"\}')
        return figure(metrics, "stream_scorer_consumer_lag_records") == sent - ended

    # some of it is fetched ahead, of the rest the reader hears nothing
    for _ in range(4):
        await environment.topics.observe(*[b"{"] * 10, partition=0)
        sent += 10
        await until(waits, "it is known to wait")
    assert figure(worker.metrics(), "stream_scorer_consumer_lag_records") >= 20
    await until(
        lambda: figure(worker.metrics(), "stream_scorer_oldest_uncommitted_record_age_seconds") > 1, "they grow old"
    )
    assert figure(worker.metrics(), "stream_scorer_held_records") == 0


async def test_without_a_setting_nothing_is_held_back(environment: Environment) -> None:
    worker = await environment.start()
    await environment.topics.observe(*[b"{"] * 500)
    await environment.account(dead_letter=500)
    assert figure(worker.metrics(), "stream_scorer_dead_letter_breaker_trips_total") == 0
