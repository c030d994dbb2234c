"""What outcomes say of candidates, as metrics: the verdict, its conditions with their bounds, and the guards.

Invariant: they say what the judge has found last; where nobody judges, there is no series.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from stream_scorer.core.quality.counts import Model
from stream_scorer.core.rollout.progress import CandidateProgress, ConditionProgress
from stream_scorer.runtime.metrics import evidence_catalogue as catalogue
from stream_scorer.runtime.metrics.definitions import Definition, Labels
from stream_scorer.runtime.metrics.exposition import family_text, heads

Figures = Mapping[Labels, float | None]


class CandidateFigures(NamedTuple):
    """A candidate (its label and role) and how far its evidence is."""

    model: Model
    progress: CandidateProgress


class EvidenceMetrics:
    """Of the candidates that were shown last."""

    def __init__(self) -> None:
        self._shown: Sequence[CandidateFigures] = ()

    def show(self, candidates: Sequence[CandidateFigures]) -> None:
        """Say this from now on; nothing of candidates that are not among them."""
        self._shown = candidates[: catalogue.CANDIDATES_SHOWN_MAX]

    def texts(self) -> Iterator[str]:
        """Every metric of this kind, as Prometheus reads it."""
        figures = [(each.model, figures_of(each.progress)) for each in self._shown]
        for definition in catalogue.EVIDENCE_CATALOGUE:
            yield family_text(
                definition, (line for model, of in figures for line in known_lines(definition, model, of[definition]))
            )


def figures_of(progress: CandidateProgress) -> dict[Definition, Figures]:
    """The figures of one candidate, by metric and labels; None for what is not known."""
    judged = {(each.name,): each for each in progress.conditions}
    whether = {labels: each for labels, each in judged.items() if each.judged}
    return {
        catalogue.CANDIDATE_OUTCOMES: {(): progress.outcomes},
        catalogue.CANDIDATE_SCORED: {(): progress.scored},
        catalogue.CANDIDATE_EXPECTED: {(): progress.expected_outcomes},
        catalogue.CANDIDATE_DECISION: {(each,): progress.decision == each for each in catalogue.DECISIONS},
        catalogue.CANDIDATE_GUARD: {
            ("calibration",): progress.miscalibrated,
            ("coverage",): progress.uneven_coverage,
        },
        catalogue.CONDITION_VALUE: {labels: each.value for labels, each in judged.items()},
        catalogue.CONDITION_LOW: {labels: known_bound(each, each.low) for labels, each in judged.items()},
        catalogue.CONDITION_HIGH: {labels: known_bound(each, each.high) for labels, each in judged.items()},
        catalogue.CONDITION_BOUND: {labels: each.bound for labels, each in judged.items()},
        catalogue.CONDITION_SHOWN: {labels: each.shown for labels, each in whether.items()},
        catalogue.CONDITION_OPPOSED: {labels: each.opposed for labels, each in whether.items()},
    }


def known_bound(condition: ConditionProgress, bound: float | None) -> float | None:
    return bound if condition.judged else None


def known_lines(definition: Definition, model: Model, figures: Figures) -> Iterator[str]:
    """A line for each figure that is known, in the order of the definition's combinations."""
    for labels, head in zip(definition.combinations, heads(definition, model), strict=True):
        if (figure := figures.get(labels)) is not None:
            yield f"{head} {float(figure)!r}"
