"""Whether an object can be served as a model at all, asked before it is saved and when it is loaded.

Invariant: what is wrong is said in words about the model, never in those of the library that stumbled over it.
"""

from typing import Any, Final

import numpy as np

from stream_scorer.core.contract.columns import COLUMN_NAMES, COLUMN_SET
from stream_scorer.errors import ModelError

_FIT: Final = "call fit with a data frame of the ten columns and the classes, then save it"


def refuse_unservable(model: Any, name: str) -> None:
    """Raises ModelError for what is no fitted classifier with probabilities for two classes, over columns that the
    contract has."""
    kind = type(getattr(model, "steps", [(None, model)])[-1][1]).__name__
    if isinstance(model, type) or not (hasattr(model, "fit") or hasattr(model, "predict_proba")):
        raise ModelError(f"{name} ({kind}) is not a scikit-learn classifier: give a fitted one, or a pipeline")
    if not _is_fitted(model):
        raise ModelError(f"{name} ({kind}) is not fitted: {_FIT}")
    if not hasattr(model, "classes_"):
        raise ModelError(f"{name} ({kind}) is not a classifier, it has no classes: train one on two classes")
    if not hasattr(model, "predict_proba"):
        raise ModelError(
            f"{name} ({kind}) has no predict_proba, so it gives no probabilities: use a classifier that has it, wrap "
            "this one in CalibratedClassifierCV, or give SVC probability=True"
        )
    classes = np.asarray(model.classes_)
    if classes.shape != (2,):
        raise ModelError(
            f"{name} ({kind}) was fitted on {classes.size} classes ({', '.join(map(str, classes.ravel()[:10]))}): "
            "train it on two, contraband and none"
        )
    columns = getattr(model, "feature_names_in_", None)
    if columns is not None and (others := sorted(set(map(str, columns)) - COLUMN_SET)):
        raise ModelError(
            f"{name} ({kind}) was fitted on columns that the contract does not have ({', '.join(others[:20])}): train "
            f"it on some of {', '.join(COLUMN_NAMES)}"
        )
    if columns is None and isinstance(getattr(model, "n_features_in_", None), int):
        raise ModelError(
            f"{name} ({kind}) was fitted on an array of {model.n_features_in_} columns without names, so their "
            f"order is unknown: {_FIT}"
        )


def cannot_score(name: str, error: Exception) -> ModelError:
    """What is said of a model that raises on observations that the contract allows."""
    return ModelError(
        f"{name} can't score observations that the contract allows (it raised {type(error).__name__}). predict_proba "
        "gets a data frame: strings for codes and days, booleans for ResidentIndicator, integers for SubjectAge "
        "and hour. Train the model on all values that may come, unknown categories included"
    )


def _is_fitted(model: Any) -> bool:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    except TypeError:  # not of scikit-learn's own kind: what it lacks is told by what it has not
        return True
    return True
