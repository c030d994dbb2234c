"""A bounded memory of an expensive model's answers.

Invariant: what it gives is what the model gave for the same observation.
"""

import numpy as np

from stream_scorer.models.dataframes import Codes
from stream_scorer.models.serving.predict import Floats, Predict

# 2^18 answers in 4 MiB: of a long stream of generated stops in batches of 8,192, one in four needs no question.
SLOTS_LOG2 = 18
# Knuth's multiplicative hash: the high bits of code × 2^64/φ, so that neighbouring codes, which differ in one column,
# lie far apart.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class PredictionCache:
    """Asks once for identical observations in a batch, and not again for those that it remembers; a newer one takes an
    older one's slot."""

    def __init__(self, predict: Predict, slots_log2: int = SLOTS_LOG2) -> None:
        self.predict = predict
        self.shift = np.uint64(64 - slots_log2)
        self.codes = np.full(1 << slots_log2, -1, dtype=np.int64)
        self.answers = np.empty(1 << slots_log2)

    def __call__(self, codes: Codes) -> Floats:
        slots = (codes.astype(np.uint64) * GOLDEN) >> self.shift
        known = self.codes[slots] == codes
        answers: Floats = self.answers[slots]
        if known.all():
            return answers
        asked, places = np.unique(codes[~known], return_inverse=True)
        found = self.predict(asked)
        if found.shape != asked.shape:
            # Which answer belongs to which row can't be known. Should their number be right by chance, one is left out
            # to show it.
            return found if found.shape != codes.shape else found[:-1]
        answers[~known] = found[places]
        slots = (asked.astype(np.uint64) * GOLDEN) >> self.shift
        self.codes[slots], self.answers[slots] = asked, found
        return answers
