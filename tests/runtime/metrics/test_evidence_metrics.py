"""What outcomes say of candidates, as Prometheus reads it."""

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from stream_scorer.core.records.model_control import AcceptanceTest
from stream_scorer.core.rollout.evidence import EvidenceCounts, cell_of, no_evidence
from stream_scorer.core.rollout.progress import progress_of
from stream_scorer.runtime.metrics import evidence_catalogue as catalogue
from stream_scorer.runtime.metrics.definitions import Definition
from stream_scorer.runtime.metrics.evidence_metrics import CandidateFigures, EvidenceMetrics

TREES, NIGHT = ("trees@b", "canary"), ("night@c", "shadow")


def found(metrics: EvidenceMetrics, definition: Definition, **labels: str) -> dict[tuple[str, ...], float]:
    """The series of a metric with these labels, by the values of its other ones but `model` and `role`."""
    families = text_string_to_metric_families("".join(metrics.texts()))
    return {
        tuple(sample.labels[name] for name in definition.labels): sample.value
        for family in families
        for sample in family.samples
        if sample.name == definition.name and labels.items() <= sample.labels.items()
    }


def better() -> EvidenceCounts:
    """The candidate finds what the champion passes over, in groups of Black and White drivers alone."""
    outcomes = no_evidence().outcomes
    for cell, count in (((1, 1, 1), 400), ((1, 1, 0), 250), ((0, 0, 0), 800), ((0, 1, 1), 300)):
        outcomes[:2, :, :2, cell_of(*map(bool, cell))] = count
    cells = outcomes.sum(axis=(0, 1, 2))
    scored = cells.reshape(2, 2, 2).sum(axis=-1)
    return no_evidence()._replace(outcomes=outcomes, recent=cells, scored=scored)


def shown(**evidence: EvidenceCounts) -> EvidenceMetrics:
    metrics = EvidenceMetrics()
    models = {"trees": TREES, "night": NIGHT}
    metrics.show(
        [
            CandidateFigures(models[name], progress_of(counts, 0.4, AcceptanceTest()))
            for name, counts in evidence.items()
        ]
    )
    return metrics


def test_the_verdict_its_conditions_and_their_bounds_are_metrics() -> None:
    metrics = shown(trees=better(), night=no_evidence())
    assert found(metrics, catalogue.CANDIDATE_OUTCOMES, role="canary") == {(): better().cells.sum()}
    gain = {
        name: found(metrics, definition, model="trees@b")["gain",]
        for name, definition in (
            ("low", catalogue.CONDITION_LOW),
            ("value", catalogue.CONDITION_VALUE),
            ("high", catalogue.CONDITION_HIGH),
            ("bound", catalogue.CONDITION_BOUND),
        )
    }
    assert gain["bound"] == 0 < gain["low"] < gain["value"] < gain["high"]
    assert found(metrics, catalogue.CONDITION_SHOWN, model="trees@b")["gain",] == 1
    assert found(metrics, catalogue.CONDITION_OPPOSED, model="trees@b")["gain",] == 0
    for model in ("trees@b", "night@c"):
        decisions = found(metrics, catalogue.CANDIDATE_DECISION, model=model)
        assert list(decisions) == [(each,) for each in catalogue.DECISIONS]
        assert decisions["undecided",] == 1 == sum(decisions.values())


def test_what_is_not_known_has_no_series() -> None:
    metrics = shown(trees=better(), night=no_evidence())
    assert found(metrics, catalogue.CONDITION_VALUE, model="night@c") == {}
    judged = found(metrics, catalogue.CONDITION_SHOWN, model="trees@b")
    assert ("gap_W-B",) in judged
    assert ("gap_H-N",) not in judged  # there are no N
    assert found(metrics, catalogue.CANDIDATE_EXPECTED, model="trees@b") == {}
    assert "nan" not in "".join(metrics.texts())


def test_a_guard_that_holds_is_named() -> None:
    off = better()._replace(residual_sum=np.array(2_000.0), residual_squares=np.array(1_500.0))
    guards = found(shown(trees=off), catalogue.CANDIDATE_GUARD)
    assert guards == {("calibration",): 1, ("coverage",): 0}


def test_whoever_is_not_compared_any_more_has_no_series() -> None:
    metrics = shown(trees=better())
    metrics.show([])
    assert not any(found(metrics, definition) for definition in catalogue.EVIDENCE_CATALOGUE)


def test_series_of_many_candidates_are_within_the_bound() -> None:
    metrics, progress = EvidenceMetrics(), progress_of(better(), 0.4, AcceptanceTest())
    metrics.show([CandidateFigures((f"m{number}@0", "shadow"), progress) for number in range(20)])
    lines = [line for line in "".join(metrics.texts()).splitlines() if not line.startswith("#")]
    assert len(lines) <= sum(definition.series_max for definition in catalogue.EVIDENCE_CATALOGUE)
