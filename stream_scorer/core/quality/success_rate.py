"""The rule of the business: of the searches that were predicted to find something, enough must."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Classes = Sequence[bool | int] | NDArray[np.bool_] | NDArray[np.integer]


def verify_success_rate_above(y_true: Classes, y_pred: Classes, min_success_rate: float = 0.5) -> tuple[bool, float]:
    """Whether the success rate reaches `min_success_rate`, and the success rate itself: `(is_satisfied, precision)`.

    The success rate is the precision of the positive predictions. Without any positive prediction there is no success:
    `(False, 0.0)`, whatever the minimum. Raises ValueError where `y_true` and `y_pred` differ in length, have more than
    one dimension, hold anything but 0 and 1, or the minimum is not a share."""
    if not 0.0 <= min_success_rate <= 1.0:
        raise ValueError(f"min_success_rate is {min_success_rate}: give a share from 0 to 1")
    actual, predicted = _classes("y_true", y_true), _classes("y_pred", y_pred)
    if len(actual) != len(predicted):
        raise ValueError(f"y_true has {len(actual)} entries, y_pred {len(predicted)}: give one of each for every row")
    if not predicted.any():
        return False, 0.0
    precision = float(actual[predicted].mean())
    return precision >= min_success_rate, precision


def _classes(name: str, given: ArrayLike) -> NDArray[np.bool_]:
    classes = np.asarray(given)
    if classes.ndim != 1:
        raise ValueError(f"{name} has {classes.ndim} dimensions: give one class for every row")
    if not np.isin(classes, (0, 1)).all():
        raise ValueError(f"{name} holds values other than true and false: give booleans, or 0 and 1")
    return classes.astype(np.bool_)
