"""Asking a scikit-learn pipeline for probabilities of observations given as numbers.

Invariant: what the model returns is handed on as it is.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_scorer.models.artifacts.model_card import ServingCard
from stream_scorer.models.dataframes import Codes, frame_of

Floats = NDArray[np.float64]
# Observation codes of shape (n,) in, the positive class's probabilities of shape (n,) out. A model that breaks its
# promise may return another shape: who publishes checks that.
Predict = Callable[[Codes], Floats]


def predict_with_dataframe(pipeline: Any, head: ServingCard) -> Predict:
    """The pipeline itself on a data frame: right for every pipeline, and slow (4 ms and 2 to 8 µs a row)."""
    return lambda codes: column_of(pipeline.predict_proba(frame_of(codes, head.columns)), head.positive)


def column_of(returned: Any, positive: int) -> Floats:
    """The positive class's column of what `predict_proba` returned; when that is no table of columns, all of it."""
    probabilities = np.asarray(returned)
    if probabilities.ndim == 2 and probabilities.shape[1] > positive:
        return np.asarray(probabilities[:, positive], dtype=np.float64)
    return probabilities


def on_one_thread(predict: Predict) -> Predict:
    """The same, without the threads of BLAS and OpenMP: beside a broker and other lanes they wait for each other and
    are slower than one."""
    from threadpoolctl import ThreadpoolController

    pools = ThreadpoolController()  # sees the libraries that are loaded by now

    def limited(codes: Codes) -> Floats:
        with pools.limit(limits=1):
            return predict(codes)

    return limited
