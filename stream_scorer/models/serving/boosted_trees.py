"""Boosted trees as lookups of the leaves that an observation may still reach.

Invariant: for each tree exactly one leaf is left once all ten columns have spoken.

A value of a column rules out some of a tree's leaves, whatever the other columns say, so each value has a set of leaves
for each tree, as the bits of a whole number. The sets of a row's values have one leaf in common. scikit-learn walks
down each tree for each row instead, after it has checked and encoded its input anew.

The trees are read from where scikit-learn (1.6 to 1.9) keeps them, which is not public: whoever uses this form compares
it with the classifier first.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_code import SIZES
from stream_scorer.models.dataframes import Codes
from stream_scorer.models.serving.predict import Floats, Predict

Leaves = NDArray[np.uint64]

# The bits of one number, less its sign
LEAVES_MAX: Final = 63
# 100 trees take 6 MB of tables
TREES_MAX: Final = 1_000
# Columns that are looked up together: tables of 1,224, 728 and 175 rows, small enough for the processor's cache
PARTS: Final = ((0, 5), (5, 8), (8, 10))
# Rows at a time, so that what is between two steps stays in the cache too
CHUNK_ROWS: Final = 256
FLOAT_EXPONENT_BIT: Final = 52
FLOAT_EXPONENT_BIAS: Final = 1_023
CATEGORIES_OF_A_WORD: Final = 32


class BoostedTrees:
    """The sum of one leaf of each tree. `parts`: for each of `PARTS` the sets of leaves, shape (values, trees).
    `values`: of the leaves, shape (trees, 64). `link`: makes probabilities of the sums, shape (n,) in and out."""

    def __init__(
        self, parts: Sequence[Leaves], values: Floats, baseline: float, link: Callable[[Floats], Floats]
    ) -> None:
        self.parts, self.baseline, self.link = parts, baseline, link
        self.values = np.ascontiguousarray(values).ravel()
        # where each tree's values begin, less what the exponent of a float is above the power of two
        self.first = np.arange(len(values)) * values.shape[1] - FLOAT_EXPONENT_BIAS

    def __call__(self, codes: Codes) -> Floats:
        sums = np.empty(len(codes))
        for start in range(0, len(codes), CHUNK_ROWS):
            rest = codes[start : start + CHUNK_ROWS]
            leaves: Leaves | None = None
            for table in reversed(self.parts):
                rest, digit = np.divmod(rest, len(table)) if table is not self.parts[0] else (rest, rest)
                reachable = table.take(digit, axis=0)
                leaves = reachable if leaves is None else np.bitwise_and(leaves, reachable, out=leaves)
            assert leaves is not None
            # one bit is left: its place is the exponent of the number as a float
            places = leaves.view(np.int64).astype(np.float64).view(np.int64)
            places >>= FLOAT_EXPONENT_BIT
            places += self.first
            sums[start : start + CHUNK_ROWS] = self.values.take(places).sum(axis=1)
        sums += self.baseline
        return self.link(sums)


def boosted_form(classifier: Any, changed: Floats, positive: int) -> Predict | None:
    """The lookups of a HistGradientBoostingClassifier, calibrated or not; None for any other, and for trees with more
    than 63 leaves. `changed`: what comes before it makes of the 158 observations that differ in one column."""
    trees, link = unwrapped(classifier)
    if trees is None or link is None or trees.n_trees_per_iteration_ != 1:
        return None
    predictors = [iteration[0] for iteration in trees._predictors]
    leaves_max = max(int(each.nodes["is_leaf"].sum()) for each in predictors)
    if leaves_max > LEAVES_MAX or len(predictors) > TREES_MAX:
        return None
    encoded = np.asarray(trees._preprocess_X(changed, reset=False), dtype=np.float64)
    column_of = owners(encoded)
    values = np.zeros((len(predictors), LEAVES_MAX + 1))
    reachable = np.empty((len(changed), len(predictors)), dtype=np.uint64)
    for number, predictor in enumerate(predictors):
        reachable[:, number] = reachable_leaves(predictor, encoded, column_of, values[number])
    by_column = np.split(reachable, np.cumsum(SIZES)[:-1])
    parts = [reduce(intersections, by_column[begin:end]) for begin, end in PARTS]
    assert [len(part) for part in parts] == [prod(SIZES[begin:end]) for begin, end in PARTS]
    return BoostedTrees(parts, values, float(np.squeeze(trees._baseline_prediction)), one_class(link, positive))


def unwrapped(classifier: Any) -> tuple[Any, Callable[[Floats], Floats] | None]:
    """The boosting within, and what makes a probability of the second class of its sums."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier

    if isinstance(classifier, HistGradientBoostingClassifier):
        return classifier, logistic_link
    if isinstance(classifier, CalibratedClassifierCV) and len(classifier.calibrated_classifiers_) == 1:
        (calibrated,) = classifier.calibrated_classifiers_
        within, (calibrator,) = calibrated.estimator, calibrated.calibrators
        if isinstance(within, HistGradientBoostingClassifier):
            return within, lambda sums: np.asarray(calibrator.predict(sums), dtype=np.float64)
    return None, None


def logistic_link(sums: Floats) -> Floats:
    odds_against: Floats = np.exp(-np.clip(sums, -700.0, 700.0))
    odds_against += 1.0
    return np.divide(1.0, odds_against, out=odds_against)


def one_class(link: Callable[[Floats], Floats], positive: int) -> Callable[[Floats], Floats]:
    return link if positive == 1 else lambda sums: 1.0 - link(sums)


def owners(encoded: Floats) -> NDArray[np.intp]:
    """For each input of the trees the column of the contract that it depends on; those that never change go with the
    first, which says of them what all would."""
    owner = np.zeros(encoded.shape[1], dtype=np.intp)
    first_rows = np.concatenate([[0], np.cumsum(SIZES)[:-1]])
    for column, (begin, size) in enumerate(zip(first_rows, SIZES, strict=True)):
        block = encoded[begin : begin + size]
        differs = (block != encoded[0]) & ~(np.isnan(block) & np.isnan(encoded[0]))
        owner[differs.any(axis=0)] = column
    return owner


def reachable_leaves(predictor: Any, encoded: Floats, column_of: NDArray[np.intp], values: Floats) -> Leaves:
    """For each of the 158 observations the leaves that its column does not rule out, shape (158,); writes the leaves'
    values."""
    nodes, changed_column = predictor.nodes, np.repeat(np.arange(len(SIZES)), SIZES)
    found = np.zeros(len(encoded), dtype=np.uint64)
    waiting = [(0, np.ones(len(encoded), dtype=np.bool_))]
    leaf = 0
    while waiting:
        at, possible = waiting.pop()
        node = nodes[at]
        if node["is_leaf"]:
            found[possible] |= np.uint64(1 << leaf)
            values[leaf] = node["value"]
            leaf += 1
            continue
        feature = int(node["feature_idx"])
        left = goes_left(node, encoded[:, feature], predictor.raw_left_cat_bitsets)
        silent = changed_column != column_of[feature]
        waiting.append((int(node["left"]), possible & (left | silent)))
        waiting.append((int(node["right"]), possible & (~left | silent)))
    return found


def goes_left(node: Any, inputs: Floats, left_categories: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which inputs go to the left of a node, as `TreePredictor` sends them."""
    missing = np.isnan(inputs)
    if node["is_categorical"]:
        category = np.where(missing, 0, inputs).astype(np.intp)
        words = np.asarray(left_categories)[int(node["bitset_idx"])]
        left = (words[category // CATEGORIES_OF_A_WORD] >> (category % CATEGORIES_OF_A_WORD).astype(np.uint32)) & 1 == 1
    else:
        left = inputs <= node["num_threshold"]
    return np.where(missing, bool(node["missing_go_to_left"]), left)


def intersections(some: Leaves, others: Leaves) -> Leaves:
    """The leaves that each row of one and each row of the other have in common, the other's rows counting faster."""
    common: Leaves = (some[:, None] & others[None]).reshape(-1, some.shape[1])
    return common
