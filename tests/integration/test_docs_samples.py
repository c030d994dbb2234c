"""The programs that the pages for producers and consumers show, run against a real worker."""

from typing import Any

from tests.contracts.markdown_pages import blocks
from tests.support.builders import an_observation
from tests.support.workers import Environment


def program(page: str, environment: Environment) -> dict[str, Any]:
    """What a page's Python block defines, on the environment's topics."""
    (block,) = [block for block in blocks("python") if block.page == page]
    defined: dict[str, Any] = {}
    exec(block.text.replace('"stops.', f'"{environment.settings.topics.prefix}stops.'), defined)
    return defined


async def test_what_the_producers_sample_sends_the_consumers_sample_reads(environment: Environment) -> None:
    await environment.start()
    events = [{"id": f"sample-{number}", "observation": an_observation(hour=number)} for number in range(20)]

    await program("docs/producers.md", environment)["send"](environment.bootstrap, events)
    read = await program("docs/consumers.md", environment)["read"](environment.bootstrap, len(events))

    assert {prediction["id"] for prediction in read} == {event["id"] for event in events}
    # no move among them: the sample's keys lie where they belong
    await environment.account(prediction=len(events))
