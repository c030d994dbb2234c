"""A roll-out as it comes in practice, told while it happens: two challengers come as shadows, outcomes say which one is
worse and which one is better, and the better one becomes canary and then champion.

Invariant: who is withdrawn or promoted is decided by the judge, from what outcomes show, and neither here nor by the
clock; the clock only leaves time to read.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stream_scorer.core.records.model_control import DeployedModels, ModelControl
from stream_scorer.core.rollout.judge import evidence_decided_by
from stream_scorer.core.rollout.progress import progress_of
from stream_scorer.errors import ModelError, OvertakenError
from stream_scorer.models.artifacts.files import FILES, read_files
from stream_scorer.operations.demo.rollout_models import ROWS_TOO_FEW, StoryModel, StoryModels
from stream_scorer.operations.rollout.lane_switches import digests_of
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
    `evidence`: what was known last of each candidate, by its digest; `decided`: by what the judge has decided, in the
    chapter in which it has."""

    chapters: tuple[Chapter, ...]
    at: list[float] = field(default_factory=list)
    status: RolloutStatus | None = None
    evidence: dict[str, CandidateStatus] = field(default_factory=dict)
    decided: CandidateStatus | None = None
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
            "often. So the judge, a task of one worker, took it out: by a control record that holds the evidence. None "
            "of its predictions was ever published.",
        ),
        Chapter(
            f"{challenger} becomes the canary",
            f"{challenger} answers for 10 % of the stops, then for 30 %. A hash of the id chooses them, so a stop "
            "stays with its model. Both models still score every stop: the share does not slow the evidence down. Each "
            "bar must come to lie beyond its mark.",
        ),
        Chapter(
            f"{challenger} is promoted",
            "The judge saw every condition shown: better decisions, enough finds, little overlooked, fair between "
            "groups. Each lane switched between two batches, at an offset that is on record. "
            f"{champion} stays loaded: `stream-scorer model rollback` has nothing to load.",
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
        if (control := await self._decided(lambda models: too_few.served.digest not in digests_of(models))) is None:
            return
        self._begin()
        self.progress.withdrawn_at = self._show(control)
        await self._read()
        self._begin()
        await self._deploy(challenger, "canary", FIRST_SHARE)
        if (control := await self._decided(self._is_promoted, READING * self._length_s)) is None:
            await self._act(lambda: self._rollout.plan_share(SECOND_SHARE), "nothing speaks against it")
            control = await self._decided(self._is_promoted)
        if control is None:
            return
        self._begin()
        self.progress.promoted_at = self._show(control)
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
        self.progress.decided = None
        self.progress.at.append(time.monotonic() - self._started)
        self.told(self.progress.chapter)

    async def _read(self) -> None:
        await asyncio.sleep(READING * self._length_s)

    async def _deploy(self, model: StoryModel, role: str, share: float = 0.0) -> None:
        files, digest = await asyncio.to_thread(read_files, model.folder)
        contents = {name: files[name] for name in FILES}
        await self._rollout.upload(NewModel(model.name, digest, model.served.threshold, model.form, contents))
        is_candidate = role != "champion"
        await self._act(
            lambda: self._rollout.plan_deploy(model.served, role, share=share, auto=is_candidate),
            f"{model.name} comes as {role}",
        )

    async def _act(self, plan: Callable[[], Awaitable[PlannedAct]], why: str) -> None:
        """Do it, and wait until every lane does. Where the judge was quicker, plan anew; where it has promoted the
        challenger already, nothing is left to do."""
        while True:
            try:
                act = await self._rollout.commit(await plan(), why)
            except OvertakenError:
                continue
            except ModelError:
                status = await self._rollout.status()
                if (
                    status.control is None
                    or status.control.models.champion.digest != self.models.challenger.served.digest
                ):
                    raise
                return
            with contextlib.suppress(OvertakenError):
                await self._rollout.wait(act, SWITCH_S_MAX)
            return

    async def _decided(
        self, is_done: Callable[[DeployedModels], bool], within_s: float = math.inf
    ) -> ModelControl | None:
        """The control record in force once these models are; None where they have not been for too long."""
        patience_s = max(PATIENCE * self._length_s, PATIENCE_S_MIN)
        end_s = min(time.monotonic() + within_s, self._started + patience_s)
        while time.monotonic() < end_s:
            control = (await self._rollout.status()).control
            if control is not None and is_done(control.models):
                return control
            await asyncio.sleep(LOOK_S)
        return None

    def _is_promoted(self, models: DeployedModels) -> bool:
        return models.champion.digest == self.models.challenger.served.digest

    def _show(self, control: ModelControl) -> int | None:
        """Show what the judge decided by; how many outcomes. None where a person has decided."""
        if (said := control.evidence) is None:
            return None
        counts = evidence_decided_by(said)
        self.progress.decided = CandidateStatus(
            model=said.candidate.label,
            digest=said.candidate.digest,
            role="",
            champion=said.champion.label,
            progress=progress_of(counts, said.champion.threshold, control.test, said.candidates),
        )
        return int(counts.cells.sum())
