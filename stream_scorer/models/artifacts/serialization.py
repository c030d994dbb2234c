"""Pipelines as bytes in skops format.

Invariant: no pickle, and no type that is on no list, is ever brought to life.
"""

import warnings
from collections.abc import Collection
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

import skops.io

from stream_scorer.errors import ModelError
from stream_scorer.models.artifacts.reproducible_archive import make_reproducible

# skops itself knows scikit-learn's public estimators, numpy's arrays and plain values. These are the private parts that
# they are made of; each only holds numbers and computes with them.
ALLOWED_TYPES = frozenset(
    {
        # only of a function that is on a list itself: HistGradientBoosting keeps `check_array` in one
        "functools.partial",
        "numpy.dtype",
        # a `BSpline` keeps it, under the name that its version of scipy gives it; since 1.18 it delegates to `_BSpline`
        "scipy._external.array_api_compat.numpy._aliases.asarray",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        # what an isotonic calibration looks its steps up with
        "scipy.interpolate._interpolate.interp1d",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.interpolate._bsplines._BSpline",
        # until skops 0.11: what gradient boosting measures its error with, and how it cuts columns into bins
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        # until scikit-learn 1.6: the list of columns that a `ColumnTransformer` left over
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
    }
)


def dump_pipeline(pipeline: Any) -> bytes:
    """The fitted pipeline in skops format; the same bytes for the same pipeline."""
    return make_reproducible(skops.io.dumps(pipeline))


def load_pipeline(content: bytes, where: str, trusted_types: Collection[str] = ()) -> Any:
    """The pipeline again. Raises ModelError when it holds a type that neither skops, our list nor `trusted_types`
    names."""
    try:
        strange = sorted(set(skops.io.get_untrusted_types(file=BytesIO(content))) - ALLOWED_TYPES - set(trusted_types))
        if strange:
            raise ModelError(
                f"{where} holds types that are not trusted: {', '.join(strange)}: "
                "if you know what they do, name them in the settings (model.trusted_types)"
            )
        named = [*ALLOWED_TYPES, *trusted_types]
        with warnings.catch_warnings():
            # Another version of scikit-learn is no fault by itself: the golden rows tell whether the numbers are still
            # the same.
            warnings.simplefilter("ignore")
            return skops.io.load(BytesIO(content), trusted=named)
    except ModelError:
        raise
    except BadZipFile as error:
        raise ModelError(f"{where} is not in skops format ({error}): save the model again") from error
    # an unknown class, a missing module, another library's layout: what skops raises is as varied as its files
    except Exception as error:
        raise ModelError(
            f"{where} can't be loaded here ({type(error).__name__}: {error}): train it again with the libraries here"
        ) from error
