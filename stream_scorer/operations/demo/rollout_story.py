"""A roll-out as it comes in practice, told while it happens: two challengers come as shadows, outcomes say which one is
worse and which one is better, and the better one becomes canary and then champion.

Invariant: who is withdrawn or promoted is not decided by the clock but by what outcomes show, by the same rule that
`model status` shows; the clock only leaves time to read.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stream_scorer.models.artifacts.files import FILES, read_files
from stream_scorer.operations.demo.rollout_models import ROWS_TOO_FEW, StoryModel, StoryModels
from stream_scorer.operations.rollout.model_store import NewModel
from stream_scorer.operations.rollout.planned_act import PlannedAct
from stream_scorer.operations.rollout.service import Rollout
from stream_scorer.operations.rollout.status import CandidateStatus, RolloutStatus

LOOK_S: Final = 1.0
SWITCH_S_MAX: Final = 60.0
# The clock's part of the story, as shares of its length: time to read what happens
READING: Final = 0.1
FIRST_SHARE, SECOND_SHARE = 0.1, 0.3
# How much longer than planned it may take until outcomes show enough, and how long at least
PATIENCE: Final = 3.0
PATIENCE_S_MIN: Final = 90.0


class Chapter(NamedTuple):
    """One step. `title`: in one line; `told`: what happens and why, some sentences."""

    title: str
    told: str


@dataclass
class StoryProgress:
    """How far the story is, for whoever shows it. `at`: when each chapter began, in seconds since the first;
    `evidence`: what was known last of each candidate, by its digest."""

    chapters: tuple[Chapter, ...]
    at: list[float] = field(default_factory=list)
    status: RolloutStatus | None = None
    evidence: dict[str, CandidateStatus] = field(default_factory=dict)
    ended: bool = False
    withdrawn_at: int | None = None  # outcomes that it took
    promoted_at: int | None = None

    @property
    def chapter(self) -> Chapter:
        """The one that plays."""
        return self.chapters[max(len(self.at) - 1, 0)]


def chapters_of(models: StoryModels) -> tuple[Chapter, ...]:
    """The story, before it is played."""
    champion, challenger, too_few = (model.name for model in models)
    return (
        Chapter(
            f"{champion} is the champion",
            f"One model serves: {champion}, which knows one of the ten columns, the authority by which a search is "
            "made. It was uploaded to Kafka, and a control record made it champion. From now on such records say who "
            "serves, not the settings of a worker.",
        ),
        Chapter(
            f"{too_few} and {challenger} come as shadows",
            f"{challenger} was trained on all ten columns, {too_few} in a hurry on {ROWS_TOO_FEW} stops. Shadows are "
            "asked about every stop, beside the champion; nobody gets their predictions. As searches end, outcomes "
            "arrive, and workers count what each model would have got right.",
        ),
        Chapter(
            f"{too_few} is withdrawn",
            f"Outcomes have shown a harm, and not by chance: {too_few} would have people searched for nothing too "
            "often. One control record takes it out. None of its predictions was ever published.",
        ),
        Chapter(
            f"{challenger} becomes the canary",
            f"{challenger} answers for 10 % of the stops, then for 30 %. A hash of the id chooses them, so a stop "
            "stays with its model. Both models still score every stop: the share does not slow the evidence down. Each "
            "bar must come to lie beyond its mark.",
        ),
        Chapter(
            f"{challenger} is promoted",
            "Every condition is shown: better decisions, enough finds, little overlooked, fair between groups. Each "
            f"lane switched between two batches, at an offset that is on record. {champion} stays loaded: "
            "`stream-scorer model rollback` has nothing to load.",
        ),
    )


class RolloutStory:
    """Plays it on a running worker's topics. `length_s`: how long it should last where outcomes come as they should."""

    def __init__(self, rollout: Rollout, models: StoryModels, length_s: float) -> None:
        self._rollout, self.models, self._length_s = rollout, models, length_s
        self._started = time.monotonic()
        self.progress = StoryProgress(chapters_of(models))
        self.told: Callable[[Chapter], None] = lambda chapter: None

    async def run(self) -> None:
        """Play it to its end, or until outcomes have not shown enough for too long."""
        self._started = time.monotonic()
        champion, challenger, too_few = self.models
        self._begin()
        await self._deploy(champion, "champion")
        await self._read()
        self._begin()
        await self._deploy(too_few, "shadow")
        await self._deploy(challenger, "shadow")
        await self._read()
        if (shown := await self._until(too_few, "withdraw")) is None:
            return
        self._begin()
        self.progress.withdrawn_at = shown.progress.outcomes
        await self._act(await self._rollout.plan_withdraw(too_few.served.label), why_of(shown))
        await self._read()
        self._begin()
        await self._deploy(challenger, "canary", FIRST_SHARE)
        await self._read()
        await self._act(await self._rollout.plan_share(SECOND_SHARE), "nothing speaks against it")
        await self._read()
        if (shown := await self._until(challenger, "promote")) is None:
            return
        self._begin()
        self.progress.promoted_at = shown.progress.outcomes
        await self._act(await self._rollout.plan_promote(challenger.served.label), why_of(shown))
        await self._read()
        self.progress.ended = True

    async def watch(self) -> None:
        """Keep `progress.status` up to date until cancelled."""
        while True:
            self.progress.status = status = await self._rollout.status()
            # the champion before is judged beside the new one: that is another story
            self.progress.evidence |= {each.digest: each for each in status.candidates if each.role != "previous"}
            await asyncio.sleep(LOOK_S)

    def _begin(self) -> None:
        self.progress.at.append(time.monotonic() - self._started)
        self.told(self.progress.chapter)

    async def _read(self) -> None:
        await asyncio.sleep(READING * self._length_s)

    async def _deploy(self, model: StoryModel, role: str, share: float = 0.0) -> None:
        planned = await self._rollout.plan_deploy(model.served, role, share=share)
        files, digest = await asyncio.to_thread(read_files, model.folder)
        contents = {name: files[name] for name in FILES}
        await self._rollout.upload(NewModel(model.name, digest, model.served.threshold, model.form, contents))
        await self._act(planned, "")

    async def _act(self, planned: PlannedAct, why: str) -> None:
        """Write it, and wait until every lane does it."""
        await self._rollout.wait(await self._rollout.commit(planned, why), SWITCH_S_MAX)

    async def _until(self, model: StoryModel, decision: str) -> CandidateStatus | None:
        """What outcomes show once they show that; None where they have not for too long."""
        while time.monotonic() - self._started < max(PATIENCE * self._length_s, PATIENCE_S_MIN):
            for candidate in (await self._rollout.status()).candidates:
                if candidate.digest == model.served.digest and candidate.progress.decision == decision:
                    return candidate
            await asyncio.sleep(LOOK_S)
        return None


def why_of(shown: CandidateStatus) -> str:
    """What is written into the control record as its reason."""
    progress = shown.progress
    opposed = [condition.name for condition in progress.conditions if condition.opposed]
    if progress.decision == "promote":
        said = "every condition is shown"
    else:
        said = f"the opposite is shown of {', '.join(opposed)}" if opposed else "no gain is in sight"
    return f"{said}, after {progress.outcomes:,} outcomes"
