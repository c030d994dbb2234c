"""What look-ups tell of an entry."""

from stream_scorer.core.records.record import BufferedRecord, Source
from stream_scorer.core.state.entry import OFFSET_UNKNOWN, BufferedOutcome, Entry, ScoredObservation
from stream_scorer.core.state.known_stop import KnownOutcome, ScoredSource, known_stop
from stream_scorer.core.state.model_ids import ModelIds

MODELS = ModelIds([("m@1", "champion")])
WAITING = BufferedOutcome(True, 1_000, 7, BufferedRecord(1_000, b"{}"))


def scored(**other: object) -> ScoredObservation:
    given = {"code": 5, "proba": 0.75, "prediction": True, "model": 0, "offset": 3, "event_ms": 0, "scored_ms": 1_500}
    return ScoredObservation(**{**given, **other})  # type: ignore[arg-type]


def test_a_prediction_without_its_outcome() -> None:
    known = known_stop("a", 2, Entry(scored()), MODELS)
    assert (known.status, known.outcome, known.waiting) == ("predicted", None, ())
    assert known.prediction is not None
    assert (known.prediction.model, known.prediction.role) == ("m@1", "champion")
    assert (known.prediction.source, known.prediction.scored_at) == (ScoredSource(2, 3), "1970-01-01T00:00:01.500Z")


def test_a_joined_outcome_says_whether_the_prediction_was_correct() -> None:
    known = known_stop("a", 2, Entry(scored(true_class=False, revision=2)), MODELS)
    assert (known.status, known.outcome) == ("joined", KnownOutcome(False, False, 2))


def test_an_observation_that_only_an_update_tells_of_has_no_offset() -> None:
    known = known_stop("a", 2, Entry(scored(offset=OFFSET_UNKNOWN)), MODELS)
    assert known.prediction is not None
    assert known.prediction.source == ScoredSource(2, None)


def test_an_outcome_that_waits() -> None:
    known = known_stop("a", 2, Entry(None, (WAITING,)), MODELS)
    assert (known.status, known.prediction) == ("awaiting_prediction", None)
    assert [outcome.source for outcome in known.waiting] == [Source(2, 7)]


def test_nothing_is_unknown() -> None:
    assert known_stop("a", 2, None, MODELS).status == "unknown"
    assert known_stop("a", 2, Entry(None), MODELS).status == "unknown"
