"""Champion and candidate on generated stops: how often each cell comes, and what the judge makes of it.

A model here is the true log-odds of a stop plus noise of its own, calibrated again: more noise, less AUC. Both models
cut where a policy would. The share of every cell comes from a large pool of stops; a seed then draws its outcomes from
these shares, so that a thousand stories take seconds, and the judge's own code looks at each of them.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_scorer.core.contract.observation_code import column_indices
from stream_scorer.core.quality.counts import GROUP_SIZES, GROUPS
from stream_scorer.core.records.model_control import AcceptanceTest
from stream_scorer.core.records.model_evidence import CELLS
from stream_scorer.core.rollout.evidence import EvidenceCounts
from stream_scorer.core.rollout.rule import RECENT_OUTCOMES, combine
from stream_scorer.models.synthetic.generator import Generator
from stream_scorer.models.synthetic.population import load_profile

POOL = 400_000
LOOK_EVERY = 250  # outcomes: four lanes that each tell of every thousandth
OUTCOMES_MAX = 12_000

Floats = NDArray[np.float64]
Decisions = NDArray[np.bool_]


class Stops(NamedTuple):
    """A pool of stops: `logit` and `truth` the true log-odds and probability of a find, `groups` the number of each
    stop's race, sex and ethnicity; all of shape (n,)."""

    logit: Floats
    truth: Floats
    groups: NDArray[np.intp]


@cache
def pool() -> Stops:
    indices = column_indices(Generator(7).codes(POOL))
    tables = load_profile().contraband_logit
    logit = np.sum([table[index] for table, index in zip(tables, indices, strict=True)], axis=0)
    return Stops(logit, 1 / (1 + np.exp(-logit)), np.ravel_multi_index(tuple(indices[:3]), GROUP_SIZES))


def area(probabilities: Floats, truth: Floats) -> float:
    """The AUC that a score has in expectation over the outcomes."""
    order = np.argsort(probabilities)
    positive, negative = truth[order], 1 - truth[order]
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / (positive.sum() * negative.sum()))


def noisy_model(noise: float, seed: int) -> Floats:
    """Calibrated probabilities of a model whose log-odds are off by so much."""
    stops = pool()
    seen = stops.logit + np.random.default_rng(seed).normal(0, noise, POOL) if noise else stops.logit
    bins = 400
    order = np.argsort(seen)
    calibrated = np.empty(POOL)
    for part in np.array_split(order, bins):
        calibrated[part] = stops.truth[part].mean()
    return calibrated


@cache
def model_of_area(wanted: float, seed: int) -> Floats:
    """A model with this AUC."""
    low, high = 0.0, 6.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if area(noisy_model(middle, seed), pool().truth) > wanted else (low, middle)
    return noisy_model(low, seed)


def threshold_for(probabilities: Floats, success_rate: float) -> float:
    """The lowest threshold from which on predictions are right so often."""
    order = np.argsort(-probabilities)
    rates = np.cumsum(pool().truth[order]) / np.arange(1, POOL + 1)
    return float(probabilities[order][np.flatnonzero(rates >= success_rate)[-1]])


class Story(NamedTuple):
    """A pair of models: champion's probabilities and threshold, and what the candidate decides, shape (n,)."""

    champion: Floats
    threshold: float
    candidate: Decisions


class Ends(NamedTuple):
    """For every seed at how many outcomes it was promoted, withdrawn or suspended, 0: not at all; shape (seeds,)."""

    promoted: NDArray[np.int64]
    withdrawn: NDArray[np.int64]
    suspended: NDArray[np.int64]

    def share_promoted(self, within: int = OUTCOMES_MAX) -> float:
        return float(((self.promoted > 0) & (self.promoted <= within)).mean())

    def share_withdrawn(self, within: int = OUTCOMES_MAX) -> float:
        return float(((self.withdrawn > 0) & (self.withdrawn <= within)).mean())


def play(
    story: Story,
    seeds: range,
    *,
    test: AcceptanceTest | None = None,
    label_shares: tuple[float, float] = (1.0, 1.0),
    outcomes_max: int = OUTCOMES_MAX,
) -> Ends:
    """Every seed's story, looked at every `LOOK_EVERY` outcomes until something is decided. `label_shares`: of
    stops where nothing is to be found, and of the others, how many get a label."""
    stops = pool()
    says = (story.champion >= story.threshold) * 4 + story.candidate * 2
    weights = np.stack([1 - stops.truth, stops.truth])
    cell = stops.groups * CELLS + says
    shares = np.zeros(GROUPS * CELLS)
    residual, squares = np.zeros(GROUPS * CELLS), np.zeros(GROUPS * CELLS)
    for outcome in (0, 1):
        chance = weights[outcome] * label_shares[outcome]
        off = outcome - story.champion
        shares += np.bincount(cell + outcome, chance, GROUPS * CELLS)
        residual += np.bincount(cell + outcome, chance * off, GROUPS * CELLS)
        squares += np.bincount(cell + outcome, chance * off**2, GROUPS * CELLS)
    mean, square = (sums / np.maximum(shares, 1e-300) for sums in (residual, squares))
    coverage = shares.reshape(GROUPS, 4, 2).sum(axis=(0, 2)) / np.bincount(says // 2, minlength=4).clip(1)

    n = len(seeds)
    draws = [np.random.default_rng([seed, 11]) for seed in seeds]
    outcomes, scored = np.zeros((n, GROUPS * CELLS), dtype=np.int64), np.zeros((n, 4), dtype=np.int64)
    sums = np.zeros(n)
    looks = [outcomes]
    ends = Ends(*(np.zeros(n, dtype=np.int64) for _ in range(3)))
    chances = shares / shares.sum()
    for look in range(1, outcomes_max // LOOK_EVERY + 1):
        new = np.stack([draw.multinomial(LOOK_EVERY, chances) for draw in draws])
        outcomes = outcomes + new
        looks.append(outcomes)
        spread = np.sqrt(np.maximum(new @ (square - mean**2), 0))
        sums += new @ mean + spread * np.array([draw.normal() for draw in draws])
        said = new.reshape(n, GROUPS, 4, 2).sum(axis=(1, 3))
        scored += np.rint(said / np.maximum(coverage, 1e-9)).astype(np.int64)
        recent = outcomes - looks[max(0, look - RECENT_OUTCOMES // LOOK_EVERY)]
        found = combine(
            EvidenceCounts(
                outcomes.reshape(n, *GROUP_SIZES, CELLS),
                recent.reshape(n, GROUPS, CELLS).sum(axis=1),
                scored.reshape(n, 2, 2),
                sums,
                outcomes @ square,
            ),
            story.threshold,
            test or AcceptanceTest(),
        )
        running = (ends.promoted == 0) & (ends.withdrawn == 0) & (ends.suspended == 0)
        ends.suspended[running & found.suspend] = look * LOOK_EVERY
        ends.withdrawn[running & ~found.suspend & found.withdraw] = look * LOOK_EVERY
        ends.promoted[running & ~found.suspend & ~found.withdraw & found.promote] = look * LOOK_EVERY
    return ends
