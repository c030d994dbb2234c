"""Scoring a batch: what a model returned is checked before anything goes out, and rows that it can't score are found
and set aside.

Invariant: a row ends with a probability or with a reason, never with neither; when the model itself is at fault nothing
ends at all.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.reasons import SCORING_FAILED, Code, Reason, invalid_output, scoring_failed

Codes = NDArray[np.int64]
Probabilities = NDArray[np.float64]

# What a model is to us: observation codes of shape (n,) in, the probability of the positive class of shape (n,) out. It
# may raise, or return anything at all.
Predict = Callable[[Codes], object]


class FailureThreshold(NamedTuple):
    """When failing rows say that the model is broken, not the rows: more than `share` of at least `rows_min` rows."""

    share: float
    rows_min: int


class ModelFailure(Exception):
    """So many rows can't be scored that it must be the model. The batch stays uncommitted; nothing of it reaches the
    dead letters."""


class Scored(NamedTuple):
    """`probabilities`: shape (n,), meaningful where `rejected` has no entry. `rejected`: row number -> why it has
    none."""

    probabilities: Probabilities
    rejected: dict[int, Reason]


def score(codes: Codes, predict: Predict, brake: FailureThreshold) -> Scored:
    """Probabilities for `codes`, shape (n,). A `predict` that raises, or returns another number of rows, is bisected
    until the culprits stand alone. Raises `ModelFailure` when the brake's share fails."""
    returned = _ask(predict, codes)
    if isinstance(returned, np.ndarray) and bool(((returned >= 0.0) & (returned <= 1.0)).all()):
        return Scored(returned, {})  # NaN compares false, so this is every check at once
    if isinstance(returned, np.ndarray):
        scored = _without_invalid(returned)
    else:
        scored = _Bisection(codes, predict, brake, returned).run()
    _pull(brake, len(scored.rejected), len(codes), next(iter(scored.rejected.values())) if scored.rejected else None)
    return scored


def _ask(predict: Predict, codes: Codes) -> Probabilities | Reason:
    """What `predict` says of these rows, if it is as many numbers as rows; else the reason that a single row would
    get."""
    try:
        returned = predict(codes)
        probabilities = np.asarray(returned, dtype=np.float64)
    except Exception as error:  # whatever a model raises is about the rows it was given
        return scoring_failed(error)
    if probabilities.shape != codes.shape:
        return invalid_output(
            returned if len(codes) == 1 else f"an array of shape {probabilities.shape} for {len(codes)} rows"
        )
    return probabilities


def _without_invalid(probabilities: Probabilities) -> Scored:
    bad = np.flatnonzero(~((probabilities >= 0.0) & (probabilities <= 1.0)))
    return Scored(probabilities, {int(row): invalid_output(float(probabilities[row])) for row in bad})


def _pull(brake: FailureThreshold, failed: int, decided: int, example: Reason | None) -> None:
    if decided >= brake.rows_min and failed > brake.share * decided and example is not None:
        why = log_summary(example)
        raise ModelFailure(f"{failed} of {decided} observations could not be scored, the first with {why}")


def log_summary(reason: Reason) -> str:
    """A reason as a log may show it: the code, and the exception's name. What an exception says may quote the row."""
    if reason.code is not Code.SCORING_FAILED:
        return reason.code.value
    return f"{reason.code.value} ({reason.message.removeprefix(SCORING_FAILED).partition(':')[0]})"


class _Bisection:
    """Halves a failing batch until each failing row stands alone, in at most ⌈log₂ n⌉ levels for a culprit.

    The rows are taken in a shuffled order, so that those decided so far are a fair sample of the batch: a model that
    fails on every row is found out after about `rows_min` rows, not after all of them.
    """

    def __init__(self, codes: Codes, predict: Predict, brake: FailureThreshold, first_answer: Reason) -> None:
        self.codes, self.predict, self.brake, self.first_answer = codes, predict, brake, first_answer
        self.probabilities = np.full(len(codes), np.nan)
        self.rejected: dict[int, Reason] = {}
        self.decided = 0

    def run(self) -> Scored:
        rows = np.random.default_rng(len(self.codes)).permutation(len(self.codes))
        self._split(rows, self.first_answer)
        return Scored(self.probabilities, dict(sorted(self.rejected.items())))

    def _split(self, rows: NDArray[np.int64], answer: Probabilities | Reason) -> None:
        if isinstance(answer, np.ndarray):
            accepted = _without_invalid(answer)
            self.probabilities[rows] = accepted.probabilities
            self.rejected |= {int(rows[row]): reason for row, reason in accepted.rejected.items()}
            self.decided += len(rows)
        elif len(rows) == 1:
            self.rejected[int(rows[0])] = answer
            self.decided += 1
            _pull(self.brake, len(self.rejected), self.decided, answer)
        else:
            middle = len(rows) // 2
            for half in (rows[:middle], rows[middle:]):
                self._split(half, _ask(self.predict, self.codes[half]))


class RecentFailures:
    """The brake over many small batches: the share that failed among the last rows, at least `rows_min` of them."""

    def __init__(self, brake: FailureThreshold) -> None:
        self.brake = brake
        self._batches: deque[tuple[int, int]] = deque()
        self._rows = self._failed = 0

    def add(self, rows: int, rejected: dict[int, Reason]) -> None:
        """Count a scored batch. Raises `ModelFailure` when the brake's share of the recent rows failed."""
        self._batches.append((rows, len(rejected)))
        self._rows, self._failed = self._rows + rows, self._failed + len(rejected)
        while self._rows - self._batches[0][0] >= self.brake.rows_min:
            oldest_rows, oldest_failed = self._batches.popleft()
            self._rows, self._failed = self._rows - oldest_rows, self._failed - oldest_failed
        if rejected:
            _pull(self.brake, self._failed, self._rows, next(iter(rejected.values())))
