"""What goes wrong around a gateway: no worker, no Kafka, clients that leave, two gateways with one id."""

import asyncio
import http.client
from pathlib import Path

from stream_scorer.gateway.doors import FAILED_LOGINS_MAX
from stream_scorer.operations.local_broker import LocalBroker
from tests.gateway.calls import JSON, a_gateway
from tests.support.builders import an_event, an_outcome
from tests.support.workers import Environment, an_environment, until


async def test_without_a_worker_the_event_waits_and_the_same_request_gets_its_prediction(
    environment: Environment, tmp_path: Path
) -> None:
    prefix = environment.settings.topics.prefix
    with a_gateway(environment.bootstrap, prefix, tmp_path, gateway__timeout_s=2) as gateway:
        late = await asyncio.to_thread(gateway.call, "/predict", an_event("waits"))
        assert late.status == 504
        assert late.json["source"]["topic"] == environment.names.observations
        assert "send the same request again" in late.json["error"]
        outcome = await asyncio.to_thread(gateway.call, "/update", an_outcome("waits"))
        assert (outcome.status, outcome.json["source"]["topic"]) == (504, environment.names.outcomes)
        await environment.start()
        await environment.settled()
        answered = await asyncio.to_thread(gateway.call, "/predict", an_event("waits"))
        assert answered.status == 200
        assert answered.json["source"] == {name: late.json["source"][name] for name in ("partition", "offset")}
    await environment.account(prediction=1, redelivery=1, joined=1)


async def test_two_gateways_with_one_id_at_once_give_one_prediction(environment: Environment, tmp_path: Path) -> None:
    prefix = environment.settings.topics.prefix
    await environment.start()
    with (
        a_gateway(environment.bootstrap, prefix, tmp_path, name="one", gateway__timeout_s=40) as one,
        a_gateway(environment.bootstrap, prefix, tmp_path, name="other", gateway__timeout_s=40) as other,
    ):
        for number in range(5):
            event = an_event(f"at once {number}")
            answered = await asyncio.gather(*(asyncio.to_thread(at.call, "/predict", event) for at in (one, other)))
            assert [answer.status for answer in answered] == [200, 200]
            assert answered[0].json == answered[1].json
    await environment.account(prediction=5, redelivery=5)


async def test_a_client_that_leaves_while_it_waits_loses_nothing(environment: Environment, tmp_path: Path) -> None:
    prefix = environment.settings.topics.prefix
    with a_gateway(environment.bootstrap, prefix, tmp_path, gateway__timeout_s=40) as gateway:
        for _ in range(3):
            leaving = http.client.HTTPConnection(gateway.http_address or "", timeout=60)
            leaving.request("POST", "/predict", an_event("left"), JSON)
            await environment_has(environment, 1)
            leaving.close()
        half = http.client.HTTPConnection(gateway.http_address or "", timeout=60)
        half.putrequest("POST", "/predict")
        half.putheader("Content-Type", "application/json")
        half.putheader("Content-Length", "500")
        half.endheaders(b'{"id": ')
        half.close()
        await environment.start()
        assert (await asyncio.to_thread(gateway.call, "/predict", an_event("left"))).status == 200
    account = await environment.account(prediction=1, redelivery=3)
    assert not account.report.duplicated


async def environment_has(environment: Environment, events: int) -> None:
    """Give the gateway time to send; a client that leaves before that has sent nothing, which is no loss either."""
    await asyncio.sleep(0.5 * events)


async def test_an_outage_of_kafka_is_told_at_once_and_ridden_out(
    own_broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    async with an_environment(own_broker.bootstrap, prefix, tmp_path) as environment:
        await environment.start()
        with a_gateway(own_broker.bootstrap, prefix, tmp_path, gateway__timeout_s=5) as gateway:
            assert gateway.call("/predict", an_event("before")).status == 200
            own_broker.kill()
            await until(lambda: gateway.http_status("/readyz") == 503, "the gateway saw the outage")
            away = gateway.call("/predict", an_event("during"))
            assert (away.status, away.headers["Retry-After"]) == (503, "1")
            assert gateway.call("/update", an_outcome("before")).status == 503
            assert gateway.call("/predict", b"{}").status == 422
            assert gateway.http_status("/livez") == 200
            own_broker.restart()
            await until(lambda: gateway.http_status("/readyz") == 200, "the gateway was well again")
            assert gateway.exit_status() is None
            await until(lambda: gateway.call("/predict", an_event("during")).status == 200, "it was answered")
            assert gateway.call("/predict", an_event("before")).status == 200


async def test_a_request_beyond_the_limit_in_flight_is_told_to_come_again(
    environment: Environment, tmp_path: Path
) -> None:
    prefix = environment.settings.topics.prefix
    settings = {"gateway__timeout_s": 3, "gateway__in_flight_max": 1}
    with a_gateway(environment.bootstrap, prefix, tmp_path, **settings) as gateway:
        answered = await asyncio.gather(
            *(asyncio.to_thread(gateway.call, "/predict", an_event(f"crowd {number}")) for number in range(3))
        )
        assert sorted(answer.status for answer in answered) == [429, 429, 504]
        assert {answer.headers["Retry-After"] for answer in answered if answer.status == 429} == {"1"}


async def test_rejected_events_become_dead_letters_where_that_is_set(environment: Environment, tmp_path: Path) -> None:
    prefix = environment.settings.topics.prefix
    await environment.start()
    with a_gateway(environment.bootstrap, prefix, tmp_path, gateway__publish_rejected="true") as gateway:
        assert (await asyncio.to_thread(gateway.call, "/predict", an_event("kept", hour=99))).status == 422
        await asyncio.sleep(1)
    await environment.account(dead_letter=1)


async def test_a_known_token_names_its_client_on_the_record(environment: Environment, tmp_path: Path) -> None:
    prefix = environment.settings.topics.prefix
    file = tmp_path / "tokens.toml"
    file.write_text('east = "east-token-0123456789"\nwest = "west-token-0123456789"\n')
    await environment.start()
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    settings = {"gateway__tokens_file": str(file), "gateway__requests_per_s_max": 2, "gateway__timeout_s": 40}
    with a_gateway(environment.bootstrap, prefix, tmp_path, **settings) as gateway:
        unknown = gateway.call("/predict", an_event("t"), {**JSON, "Authorization": "Bearer nobodys-0123456789"})
        assert (unknown.status, gateway.call("/predict", an_event("t")).status) == (401, 401)
        assert unknown.headers["WWW-Authenticate"].startswith("Bearer")
        known = {**JSON, "Authorization": "Bearer west-token-0123456789", "traceparent": traceparent}
        assert (await asyncio.to_thread(gateway.call, "/predict", an_event("t"), known)).status == 200
        statuses = {gateway.call("/predict", b"{", known).status for _ in range(10)}
        assert statuses == {422, 429}
        assert "west-token" not in gateway.log()
    (sent,) = (await environment.account(prediction=1)).read.observations
    assert dict(sent.headers) == {"client-id": b"west", "traceparent": traceparent.encode()}


async def test_guessed_tokens_are_told_to_come_again_and_known_clients_are_not(
    environment: Environment, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text('east = "east-token-0123456789"\nwest = "west-token-0123456789"\n')
    prefix = environment.settings.topics.prefix
    with a_gateway(environment.bootstrap, prefix, tmp_path, gateway__tokens_file=str(file)) as gateway:

        def status_with(token: str) -> int:
            return gateway.call("/predict", b"{", {**JSON, "Authorization": f"Bearer {token}"}).status

        assert status_with("east-token-0123456789") == 422
        connection = http.client.HTTPConnection(gateway.http_address or "", timeout=60)
        statuses, waits = [], set()
        for number in range(1_000):
            sent = {**JSON, "Authorization": f"Bearer guess-{number:016}"}
            connection.request("POST", "/predict", b"{", sent)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
            waits.add(answer.headers["Retry-After"])
            if statuses[-3:] == [429] * 3:
                break
        connection.close()
        assert statuses[: FAILED_LOGINS_MAX.failures_max] == [401] * FAILED_LOGINS_MAX.failures_max
        assert statuses[-3:] == [429] * 3
        assert waits == {None, "1"}
        # who has been here is let in; who shows the right thing now for the first time has to wait as guesses do
        assert status_with("east-token-0123456789") == 422
        assert gateway.call("/predict", b"{").status == 401
        await until(lambda: status_with("west-token-0123456789") == 422, "another client of the address was let in")
