"""Which control record counts, and what each act makes of the models."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.core.records.model_control import (
    FORMAT,
    AcceptanceTest,
    Canary,
    ControlAct,
    DeployedModels,
    ModelControl,
    ServedModel,
    UnknownFormat,
    decode_control,
    encode_control,
    environment_of,
)
from stream_scorer.core.rollout.control import (
    InForce,
    Refusal,
    deployed,
    follow,
    promoted,
    rolled_back,
    shared,
    withdrawn,
)


def a_model(digit: str = "a", threshold: float = 0.4) -> ServedModel:
    return ServedModel(name="stops", digest=digit * 64, threshold=threshold)


def a_canary(digit: str = "b", share: float = 0.1) -> Canary:
    return Canary(name="stops", digest=digit * 64, threshold=0.4, share=share, salt="0" * 32)


CHAMPION, SHADOW = a_model("a"), a_model("c")
ALONE = DeployedModels(champion=CHAMPION)
WITH_ALL = DeployedModels(champion=CHAMPION, canary=a_canary("b"), shadows=(SHADOW,), previous=a_model("d"))


def a_control(based_on: int | None, environment: str = "production", models: DeployedModels = ALONE) -> ModelControl:
    return ModelControl(
        format=FORMAT,
        environment=environment,
        based_on=based_on,
        act=ControlAct.DEPLOY,
        models=models,
        test=AcceptanceTest(),
        who="ann",
        at="2026-01-02T03:04:05.678Z",
    )


def read(values: list[bytes], environment: str = "production") -> InForce | UnknownFormat | None:
    """What is in force after these records, at offsets 0, 1, 2, …"""
    in_force: InForce | UnknownFormat | None = None
    for offset, value in enumerate(values):
        assert not isinstance(in_force, UnknownFormat)
        in_force = follow(environment, in_force, offset, value)
    return in_force


def counted(values: list[bytes]) -> list[int]:
    """The offsets of those that counted."""
    found = [read(values[: end + 1]) for end in range(len(values))]
    return sorted({each.offset for each in found if isinstance(each, InForce)})


@pytest.mark.parametrize("models", [ALONE, WITH_ALL], ids=["champion-alone", "all-roles"])
def test_a_control_record_is_read_as_it_was_written(models: DeployedModels) -> None:
    control = a_control(7, models=models)
    assert decode_control(encode_control(control)) == control


def test_of_two_acts_at_the_same_moment_the_first_one_counts() -> None:
    values = [encode_control(a_control(based_on)) for based_on in (None, 0, 0, 1, 1, 0, 3)]
    assert counted(values) == [0, 1, 3, 6]


@given(st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=12))
def test_each_record_that_counts_is_based_on_the_one_that_counted_before_it(bases: list[int | None]) -> None:
    offsets = counted([encode_control(a_control(based_on)) for based_on in bases])
    assert [bases[offset] for offset in offsets[:1]] in ([], [None])
    assert all(bases[later] == earlier for earlier, later in pairwise(offsets))


def test_another_environment_s_records_change_nothing() -> None:
    values = [encode_control(a_control(None)), encode_control(a_control(0, environment="staging"))]
    assert counted(values) == [0]


@pytest.mark.parametrize(
    "value", [None, b"", b"null", b"[]", b"{}", b'{"format":1}', b"\xff", b"[" * 100_000], ids=lambda v: repr(v)[:20]
)
def test_what_is_no_control_record_changes_nothing(value: bytes | None) -> None:
    first = InForce(0, a_control(None))
    assert follow("production", first, 1, value) == first


def test_a_later_format_is_told_and_never_passed_over() -> None:
    value = msgspec.json.encode({"format": FORMAT + 1, "who-knows": "what"})
    assert follow("production", None, 0, value) == UnknownFormat(FORMAT + 1)


def test_a_new_champion_keeps_the_one_before_at_hand() -> None:
    assert deployed(ALONE, SHADOW, "champion") == DeployedModels(champion=SHADOW, previous=CHAMPION)


def test_the_champion_deployed_again_has_its_new_threshold_and_no_other_predecessor() -> None:
    stricter = a_model("a", threshold=0.6)
    found = deployed(WITH_ALL, stricter, "champion")
    assert found == msgspec.structs.replace(WITH_ALL, champion=stricter)


def test_a_model_has_one_role() -> None:
    found = deployed(DeployedModels(champion=CHAMPION, shadows=(a_model("b"), SHADOW)), a_canary("b"), "canary")
    assert found == DeployedModels(champion=CHAMPION, canary=a_canary("b"), shadows=(SHADOW,))


def test_there_is_one_canary_at_most() -> None:
    found = deployed(WITH_ALL, a_canary("e"), "canary")
    assert isinstance(found, Refusal)
    assert "promote or withdraw it first" in found.message


@pytest.mark.parametrize("role", ["canary", "shadow"])
def test_the_champion_is_no_candidate(role: str) -> None:
    assert isinstance(deployed(ALONE, a_canary("a"), role), Refusal)


def test_a_share_changes_by_the_same_salt() -> None:
    found = shared(WITH_ALL, 0.5)
    assert isinstance(found, DeployedModels)
    assert found.canary == a_canary("b", share=0.5)


@pytest.mark.parametrize(("digest", "winner"), [(None, "b"), ("b" * 64, "b"), ("c" * 64, "c")])
def test_a_promotion_swaps_champions_and_leaves_the_others(digest: str | None, winner: str) -> None:
    found = promoted(WITH_ALL, digest)
    assert isinstance(found, DeployedModels)
    assert found.champion == a_model(winner)
    assert type(found.champion) is ServedModel
    assert found.previous == CHAMPION
    left = {each.digest[0] for each in (*filter(None, [found.canary]), *found.shadows)}
    assert left == {"b", "c"} - {winner}


def test_a_roll_back_taken_twice_is_as_if_nothing_had_been() -> None:
    once = rolled_back(WITH_ALL)
    assert isinstance(once, DeployedModels)
    assert (once.champion, once.previous) == (a_model("d"), CHAMPION)
    assert rolled_back(once) == WITH_ALL


def test_a_candidate_is_withdrawn_and_a_champion_is_not() -> None:
    assert withdrawn(WITH_ALL, "b" * 64) == msgspec.structs.replace(WITH_ALL, canary=None)
    assert withdrawn(WITH_ALL, "c" * 64) == msgspec.structs.replace(WITH_ALL, shadows=())
    assert isinstance(withdrawn(WITH_ALL, "a" * 64), Refusal)
    assert isinstance(withdrawn(WITH_ALL, "e" * 64), Refusal)


@pytest.mark.parametrize(
    "refused", [shared(ALONE, 0.5), promoted(ALONE), promoted(ALONE, "c" * 64), rolled_back(ALONE)]
)
def test_what_cannot_be_done_says_what_to_do(refused: DeployedModels | Refusal) -> None:
    assert isinstance(refused, Refusal)
    assert ": " in refused.message


@pytest.mark.parametrize(("prefix", "environment"), [("", "default"), ("staging.", "staging"), ("a.b-", "a.b")])
def test_an_environment_is_called_by_its_topics_prefix(prefix: str, environment: str) -> None:
    assert environment_of(prefix) == environment
