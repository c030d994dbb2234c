"""Whether a model may be deployed: it loads, and on labelled stops its positive predictions are right often enough.

Invariant: no positive prediction at all is not a success.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.quality.success_rate import verify_success_rate_above
from stream_scorer.errors import ModelError
from stream_scorer.models.registry.model_directory import LoadedModel


class Verification(msgspec.Struct, frozen=True):
    """What was found. `success_rate`: None without labelled stops or without a positive prediction; `faults`: why it
    may not be deployed, none where it may."""

    model: str
    digest: str
    form: str
    threshold: float
    rows: int
    positives: int
    success_rate: float | None
    faults: tuple[str, ...]


def loads(model: LoadedModel, threshold: float | None = None) -> Verification:
    """What there is to say of a model that was loaded, and held against nothing."""
    bar = model.threshold if threshold is None else threshold
    return Verification(model.name, model.digest, model.form, bar, 0, 0, None, ())


def verify_model(
    model: LoadedModel,
    codes: NDArray[np.int64],
    outcomes: NDArray[np.bool_],
    min_success_rate: float = 0.5,
    *,
    where: str,
    threshold: float | None = None,
) -> Verification:
    """Hold a model's decisions against labelled stops: observation codes and outcomes, both of shape (n,). `where`:
    what they come from, for messages; `threshold`: instead of the model's own. Raises ModelError where there are
    none."""
    found = loads(model, threshold)
    if not len(codes):
        raise ModelError(f"{where} holds no valid labelled stop: give some with outcomes")
    positive = model.score(codes) >= found.threshold
    rows, positives = len(codes), int(positive.sum())
    passed, rate = verify_success_rate_above(outcomes, positive, min_success_rate)
    faults = []
    if not positives:
        faults.append(f"none of {rows:,} stops is predicted positive: lower its threshold, or train it again")
    elif not passed:
        faults.append(f"its success rate is {rate:.3f}, below {min_success_rate:.3f}: raise its threshold")
    return msgspec.structs.replace(
        found,
        rows=rows,
        positives=positives,
        success_rate=float(rate) if positives else None,
        faults=tuple(faults),
    )
