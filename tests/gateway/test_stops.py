"""Look-ups of one id on a real Kafka: answered by whichever worker owns the id's lane, told to come again while it
moves, and never answered wrongly."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from stream_scorer.core.records.partitioner import partition_of
from tests.gateway.calls import Answered, GatewayProcess, a_gateway
from tests.support.builders import an_event, an_outcome
from tests.support.workers import Environment, ended, stopped, until

PARTITIONS = 4
VIEW_TOKEN = "the-view-token-of-this-test-9f3a"


def looked_up(gateway: GatewayProcess, id_: str, **headers: str) -> Answered:
    return gateway.call(f"/stops/{quote(id_, safe='')}", headers=headers)


async def asked(gateway: GatewayProcess, path: str, body: bytes) -> Answered:
    return await asyncio.to_thread(gateway.call, path, body)


async def found(gateway: GatewayProcess, id_: str) -> Answered:
    """The answer once it is none of "ask again"."""
    answers: list[Answered] = []

    def answered() -> bool:
        answers.append(looked_up(gateway, id_))
        assert answers[-1].status in (200, 503), answers[-1]
        return answers[-1].status == 200

    await until(answered, f"{id_} was found")
    return answers[-1]


async def test_what_is_known_of_an_id_is_told_at_every_stage(environment: Environment, tmp_path: Path) -> None:
    await environment.start()
    names = environment.names
    with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path) as gateway:
        nobodys = looked_up(gateway, "nobody's")
        assert (nobodys.status, nobodys.headers["Content-Type"].partition(";")[0]) == (404, "application/problem+json")
        assert "nobody's" not in nobodys.body.decode()

        early = (await asked(gateway, "/update", an_outcome("s 1/ü", True))).json
        assert early["status"] == "awaiting_prediction"
        waits = (await found(gateway, "s 1/ü")).json
        assert (waits["status"], waits["prediction"]) == ("awaiting_prediction", None)
        (waiting,) = waits["waiting"]
        assert (waiting["true_class"], waiting["source"]["topic"]) == (True, names.outcomes)

        for number in range(30):  # what was answered is found at once
            assert (await asked(gateway, "/predict", an_event(f"at once {number}"))).status == 200
            assert looked_up(gateway, f"at once {number}").status == 200
        predicted = (await asked(gateway, "/predict", an_event("s 1/ü"))).json
        joined = (await asked(gateway, "/update", an_outcome("s 1/ü", False))).json
        known = (await found(gateway, "s 1/ü")).json
        assert known["status"] == "joined"
        assert known["partition"] == partition_of("s 1/ü".encode(), PARTITIONS)
        shared = {name: predicted[name] for name in ("prediction", "proba", "model", "role", "observation_code")}
        assert {name: known["prediction"][name] for name in shared} == shared
        assert known["prediction"]["source"] == {"topic": names.observations, **predicted["source"]}
        assert known["outcome"] == {"true_class": False, "correct": joined["correct"], "revision": 2}

        assert looked_up(gateway, "x" * 201).status == 400
        head = gateway.call(f"/stops/{quote('s 1/ü', safe='')}", headers={}, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert "s 1" not in gateway.log()


async def test_each_worker_answers_for_its_own_lanes_and_a_moved_lane_is_found_again(
    environment: Environment, tmp_path: Path
) -> None:
    first, other = await environment.start("first"), await environment.start("other")
    await environment.settled()
    ids = [f"stop {number}" for number in range(20)]
    with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path) as gateway:
        for id_ in ids:
            assert (await asked(gateway, "/predict", an_event(id_))).status == 200
        places = {id_: (await found(gateway, id_)).json["prediction"] for id_ in ids}

        statuses = {id_: {worker.http_status(f"/state/{quote(id_)}") for worker in (first, other)} for id_ in ids}
        assert all(answered == {200, 421} for answered in statuses.values()), statuses

        first.kill()
        await ended(first)
        for id_ in ids:  # a dead owner's lanes: ask again, until the other has them
            assert (await found(gateway, id_)).json["prediction"] == places[id_]
        assert {other.http_status(f"/state/{quote(id_)}") for id_ in ids} == {200}


async def test_a_worker_that_keeps_its_name_and_changes_its_address_is_found(
    environment: Environment, tmp_path: Path
) -> None:
    named = {"worker__group_instance_id": "worker-0"}
    before = await environment.start(**named)
    with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path) as gateway:
        assert (await asked(gateway, "/predict", an_event("kept"))).status == 200
        was_at = before.http_address
        assert await stopped(before) == 0
        assert looked_up(gateway, "kept").status == 503
        after = await environment.start(**named)
        assert after.http_address != was_at
        assert (await found(gateway, "kept")).json["status"] == "predicted"


async def test_without_a_worker_a_look_up_is_told_to_come_again(environment: Environment, tmp_path: Path) -> None:
    with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path) as gateway:
        answered = looked_up(gateway, "any")
        assert (answered.status, answered.headers["Retry-After"]) == (503, "1")


async def test_a_worker_that_sleeps_is_not_waited_for(environment: Environment, tmp_path: Path) -> None:
    worker = await environment.start()
    with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path) as gateway:
        assert (await asked(gateway, "/predict", an_event("asleep"))).status == 200
        worker.pause()
        assert looked_up(gateway, "asleep").status == 503
        worker.resume()
        assert (await found(gateway, "asleep")).status == 200


@pytest.mark.parametrize("gateways_token", ["", VIEW_TOKEN], ids=["without", "with"])
async def test_a_worker_with_a_view_token_answers_only_who_shows_it(
    environment: Environment, tmp_path: Path, gateways_token: str
) -> None:
    worker = await environment.start(http__view_token=VIEW_TOKEN)
    given: dict[str, Any] = {"http__view_token": gateways_token} if gateways_token else {}
    with a_gateway(environment.bootstrap, environment.settings.topics.prefix, tmp_path, **given) as gateway:
        assert (await asked(gateway, "/predict", an_event("guarded"))).status == 200
        assert worker.http_status("/state/guarded") == 401
        if gateways_token:
            assert (await found(gateway, "guarded")).status == 200
        else:
            refused = looked_up(gateway, "guarded")
            assert (refused.status, "http.view_token" in refused.json["error"]) == (503, True)
        assert VIEW_TOKEN not in gateway.log() + worker.log()


async def test_beyond_loopback_a_worker_without_a_token_answers_no_look_up(environment: Environment) -> None:
    worker = await environment.start(http__host="0.0.0.0")
    assert worker.http_status("/livez") == 200
    assert worker.http_status("/state/any") == 403


async def test_where_clients_have_tokens_a_look_up_needs_one(environment: Environment, tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text('east = "east-token-0123456789"\n')
    await environment.start()
    prefix = environment.settings.topics.prefix
    with a_gateway(environment.bootstrap, prefix, tmp_path, gateway__tokens_file=str(file)) as gateway:
        assert looked_up(gateway, "any").status == 401
        assert looked_up(gateway, "any", Authorization="Bearer east-token-0123456789").status == 404
