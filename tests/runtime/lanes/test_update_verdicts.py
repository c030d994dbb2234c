"""Verdicts on outcome updates: of whom, and nothing where nobody served."""

import msgspec
import numpy as np

from stream_scorer.core.observations.scoring import Codes, Probabilities
from stream_scorer.core.records.model_control import ServedModel
from stream_scorer.core.records.model_switch import FirstOffsets
from stream_scorer.core.records.outcome_update import Joined, decode_update
from stream_scorer.core.records.record import NO_HEADERS, Publishable
from stream_scorer.core.rollout.evidence_counter import EvidenceCounter, ModelPair
from stream_scorer.core.state.entry import OFFSET_UNKNOWN, Entry, ScoredObservation, pack
from stream_scorer.runtime.lanes.update_verdicts import with_verdicts
from tests.contracts.test_schemas import JOINED
from tests.support.models import a_served_model

CHAMPION, EARLY, LATE = a_served_model("a", name="champion"), a_served_model("b"), a_served_model("c", 0.8)
SERVING = [
    EvidenceCounter(ModelPair(CHAMPION, EARLY), FirstOffsets(100, 0)),
    EvidenceCounter(ModelPair(CHAMPION, LATE), FirstOffsets(200, 0)),
]
AWAITING: Publishable = (b"w", b'{"status":"awaiting_prediction"}', 1, NO_HEADERS)


def an_update(id_: str, offset: int) -> tuple[Publishable, tuple[bytes, bytes | None]]:
    """A joined update, and the entry of its id."""
    update = msgspec.structs.replace(JOINED, id=id_, verdicts=msgspec.UNSET)
    predicted = ScoredObservation(7, 0.5, True, 0, offset, 1, 1, True, 1)
    return (id_.encode(), msgspec.json.encode(update), 5, NO_HEADERS), (id_.encode(), pack(Entry(predicted)))


async def answer(codes: Codes, model: ServedModel) -> Probabilities | None:
    assert codes.tolist() == [7] * len(codes)
    return np.full(len(codes), 0.7)


async def test_each_update_says_what_those_would_have_said_who_served_its_observation() -> None:
    (before, one), (between, two), (after, three) = (an_update(f"at-{at}", at) for at in (99, 150, 200))
    found = await with_verdicts([before, AWAITING, between, after], dict([one, two, three]), SERVING, answer)
    assert found[:2] == [before, AWAITING]
    said = [decode_update(update[1] or b"") for update in found[2:]]
    assert all(isinstance(update, Joined) for update in said)
    assert [update.verdicts for update in said if isinstance(update, Joined)] == [
        {CHAMPION.label: True, EARLY.label: True},
        {CHAMPION.label: True, EARLY.label: True, LATE.label: False},
    ]
    assert [msgspec.json.encode(update) for update in said] == [update[1] for update in found[2:]]


async def test_an_observation_whose_offset_is_not_known_has_none() -> None:
    update, entry = an_update("restored", OFFSET_UNKNOWN)
    assert await with_verdicts([update], dict([entry]), SERVING, answer) == [update]


async def test_a_model_whose_answer_is_of_no_use_is_left_out() -> None:
    async def failing(codes: Codes, model: ServedModel) -> Probabilities | None:
        return None if model == EARLY else await answer(codes, model)

    update, entry = an_update("ev", 150)
    ((_, value, _, _),) = await with_verdicts([update], dict([entry]), SERVING, failing)
    said = decode_update(value or b"")
    assert isinstance(said, Joined)
    assert said.verdicts == {CHAMPION.label: True}
