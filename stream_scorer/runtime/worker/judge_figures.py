"""What the judge has found last, as metrics show it.

Invariant: it is worked out when somebody looks, once for each new view; where nobody judges there is nothing.
"""

from collections.abc import Sequence

from stream_scorer.core.rollout.progress import progress_of
from stream_scorer.runtime.metrics.evidence_catalogue import CANDIDATES_SHOWN_MAX
from stream_scorer.runtime.metrics.evidence_metrics import CandidateFigures
from stream_scorer.runtime.rollout.judge import JudgeView


class JudgeFigures:
    """Remembers what it made of the last view."""

    def __init__(self) -> None:
        self._view: JudgeView | None = None
        self._figures: Sequence[CandidateFigures] = ()

    def of(self, view: JudgeView | None) -> Sequence[CandidateFigures]:
        """The candidates of a view, None while there is nothing to judge."""
        if view is not self._view:
            self._view = view
            self._figures = () if view is None else figures_of(view)
        return self._figures


def figures_of(view: JudgeView) -> list[CandidateFigures]:
    return [
        CandidateFigures(
            (judged.pair.candidate.label, judged.role),
            progress_of(judged.evidence, judged.pair.champion.threshold, view.test, view.judged_at_once),
        )
        for judged in view.candidates[:CANDIDATES_SHOWN_MAX]
    ]
