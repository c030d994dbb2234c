"""A worker on a real Kafka, with nothing out of the ordinary."""

from tests.support.traffic import send, traffic
from tests.support.workers import Environment, stopped


async def test_every_input_of_ordinary_traffic_ends_exactly_once(environment: Environment) -> None:
    await send(environment.topics, traffic(3_000))
    worker = await environment.start()
    result = await environment.account()
    assert result.ended["prediction"] > 2_800
    assert result.ended["joined"] > 1_000
    assert await stopped(worker) == 0
