"""What the contract says of one value, once both looks have said the same."""

from stream_scorer.core.contract.columns import EVENT_BYTES_MAX
from stream_scorer.core.contract.observation_events import decode_observations, validate_observation
from stream_scorer.core.contract.outcome_events import decode_outcomes, validate_outcome
from stream_scorer.core.contract.reasons import Reason

Verdict = tuple[bytes, int] | tuple[Reason, ...]


def judge_observation(value: bytes | None, limit_bytes: int = EVENT_BYTES_MAX) -> Verdict:
    """The id and the number of an observation event, or its reasons; fails unless exactly one comes out, twice."""
    batch = decode_observations([value], limit_bytes)
    accepted = list(zip(batch.positions, batch.ids, batch.codes, strict=True))
    return same(accepted, batch.rejected, validate_observation(value, limit_bytes))


def judge_outcome(value: bytes | None) -> Verdict:
    """The id and the class of an outcome event, or its reasons; fails unless exactly one of them comes out, twice."""
    batch = decode_outcomes([value])
    accepted = list(zip(batch.positions, batch.ids, map(int, batch.classes), strict=True))
    return same(accepted, batch.rejected, validate_outcome(value))


def same(
    accepted: list[tuple[int, bytes, int]], rejected: list[tuple[int, tuple[Reason, ...]]], second: Verdict
) -> Verdict:
    assert len(accepted) + len(rejected) == 1
    position, first = (accepted[0][0], accepted[0][1:]) if accepted else rejected[0]
    assert position == 0
    assert first == second
    assert first, "neither accepted nor a reason"
    return first


def faults(verdict: Verdict) -> list[tuple[str, str | None, str]]:
    """Code, field and message of each reason; empty when the event was accepted."""
    return [(reason.code.value, reason.field, reason.message) for reason in verdict if isinstance(reason, Reason)]


def codes(verdict: Verdict) -> list[str]:
    """The codes of the reasons; empty when the event was accepted."""
    return [code for code, _, _ in faults(verdict)]
