"""Workers with names that stay, as a StatefulSet gives them: one that comes back has its lanes again, one that was
scaled in hands them on, and nothing is lost or said twice meanwhile."""

import asyncio

from stream_scorer.operations.harness.worker_process import WorkerProcess
from tests.support.traffic import send, traffic
from tests.support.workers import Environment, stopped

# the least that Kafka allows: what a worker that left for good keeps its lanes for
SESSION_MS = 6_000


async def start_pods(environment: Environment, *ordinals: int) -> list[WorkerProcess]:
    """Start the workers of these numbers, all at once, and wait until they are ready."""
    pods = [
        environment.worker(
            f"pod-{ordinal}",
            worker__group_instance_id=f"stream-scorer-{ordinal}",
            worker__session_timeout_ms=SESSION_MS,
        ).start()
        for ordinal in ordinals
    ]
    await asyncio.gather(*(asyncio.to_thread(pod.wait_ready) for pod in pods))
    return pods


async def test_scaled_out_and_in_again_every_input_ends_once(environment: Environment) -> None:
    topics = environment.topics
    await start_pods(environment, 0)
    await send(topics, traffic(300, id_prefix="alone-"))
    await environment.settled()
    _, second = await start_pods(environment, 1, 2)
    await send(topics, traffic(600, seed=2, id_prefix="three-"))
    # as Kubernetes scales in: the highest number first, by SIGTERM, in the midst of work
    assert await stopped(second) == 0
    await send(topics, traffic(300, seed=3, id_prefix="two-"))
    result = await environment.account()
    assert result.ended["prediction"] > 1_000


async def test_a_worker_that_is_replaced_under_its_name_goes_on(environment: Environment) -> None:
    topics = environment.topics
    _, second = await start_pods(environment, 0, 1)
    await send(topics, traffic(300, id_prefix="before-"))
    assert await stopped(second) == 0
    await send(topics, traffic(300, seed=2, id_prefix="between-"))
    await start_pods(environment, 1)
    await send(topics, traffic(300, seed=3, id_prefix="after-"))
    result = await environment.account()
    assert result.ended["prediction"] > 750
