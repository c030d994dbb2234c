"""Replays on a real Kafka with a real worker: each letter once, linked to what came of it, and never past its cap."""

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from stream_scorer.core.dead_letters.repair import Fix, parse_fix
from stream_scorer.core.records.audit_log import NO_LETTER, Action
from stream_scorer.core.records.dead_letter_reader import DeadLetter, Position
from stream_scorer.errors import NotFoundError
from stream_scorer.operations.dead_letters.query.filters import EVERY_STATE, Filter, State
from stream_scorer.operations.dead_letters.replay.dry_run import CheckResult
from stream_scorer.operations.dead_letters.replay.replay import Skip
from tests.support.builders import an_event, an_outcome
from tests.support.dead_letters import an_office, buried, ledger, predicted_ids, wrong
from tests.support.workers import Environment


def fix(*named: str, **more: object) -> Fix:
    made = parse_fix(named=named, **more)  # type: ignore[arg-type]
    assert isinstance(made, Fix)
    return made


async def test_a_mended_letter_is_replayed_once_and_linked_to_its_prediction(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start()
    await buried(environment, wrong("a"), wrong("b"), an_event("c"))
    async with an_office(environment, tmp_path / "operator") as office:
        tried = await office.replay(fix=fix("match-case"))
        assert (tried.dry_run, tried.replayed, tried.changed) == (True, 2, 2)
        (asked,) = await ledger(environment)
        assert (asked.act, asked.who, asked.letters, asked.letter) == (Action.CHECK, "ann", 2, NO_LETTER)
        done = await office.replay(fix=fix("match-case"), yes=True, why="a new form writes it small")
        again = await office.replay(fix=fix("match-case"), yes=True)
        assert (done.replayed, again.replayed, again.skipped) == (2, 0, {Skip.ALREADY_REPLAYED: 2})
        await environment.settled()
        assert await predicted_ids(environment) == ["a", "b", "c"]
        await office.refresh()
        assert await office.states() == {State.OPEN: 0, State.PARKED: 0, State.REPLAYED: 2, State.DISCARDED: 0}
        (letter, _) = await office.find(Filter(states=EVERY_STATE))
        events = (await office.history(letter.place)).events
        assert [event.what for event in events] == ["failed", "replay", "predicted"]
        assert events[1].who == "ann"
    entries = [entry for entry in await ledger(environment) if entry.act is not Action.CHECK]
    assert {entry.act for entry in entries} == {Action.REPLAY}
    assert {entry.why for entry in entries} == {"a new form writes it small"}
    assert {entry.fix for entry in entries} == {"match-case"}
    await environment.account(prediction=3, dead_letter=2)


async def test_a_letter_that_fails_again_becomes_a_new_one_until_it_is_parked(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start()
    await buried(environment, wrong("a"))
    async with an_office(environment, tmp_path / "operator", operator__replays_max=2) as office:
        for replays in (1, 2):
            assert (await office.replay(yes=True)).skipped[Skip.STILL_FAILS] == 1
            assert (await office.replay(yes=True, failing_too=True)).replayed == 1
            await environment.settled()
            await office.refresh()
            (waiting,) = await office.find()
            assert waiting.replays == replays
            letter = await office.letter(waiting.place)
            assert isinstance(letter, DeadLetter)
            assert letter.claimed_replays == replays
        assert waiting.state is State.PARKED
        untouched = await office.replay(yes=True, failing_too=True)
        assert (untouched.replayed, untouched.skipped) == (0, {Skip.ALREADY_REPLAYED: 2, Skip.PARKED: 1})
        assert (await office.replay(fix=fix("match-case"), yes=True, parked=True)).replayed == 1
        await environment.settled()
        await office.refresh()
        events = (await office.history(waiting.place)).events
        assert [event.what for event in events] == ["failed", "replay"] * 3 + ["predicted"]
        assert [event.details["replays"] for event in events if event.what == "replay"] == [1, 2, 3]
    assert await predicted_ids(environment) == ["a"]
    await environment.account(prediction=1, dead_letter=3)


async def test_replay_headers_that_a_producer_forged_park_nothing(environment: Environment, tmp_path: Path) -> None:
    await environment.start()
    forged = [("scorer.replayed-from", b'{"partition":0,"offset":0}'), ("scorer.replays", b"99")]
    await buried(environment, wrong("a"), headers=[*forged, ("scorer.source", b"nonsense"), ("own", b"1")])
    async with an_office(environment, tmp_path / "operator") as office:
        (waiting,) = await office.find()
        assert (waiting.state, waiting.replays) == (State.OPEN, 0)
        assert (await office.replay(fix=fix("match-case"), yes=True)).replayed == 1
    await environment.settled()
    replayed = (await environment.topics.read()).observations[-1]
    source = {"partition": replayed.partition, "offset": replayed.offset - 1}
    assert [name for name, _ in replayed.headers] == ["own", "scorer.replayed-from", "scorer.replays"]
    assert json.loads(dict(replayed.headers)["scorer.replayed-from"]) == source
    assert dict(replayed.headers)["scorer.replays"] == b"1"


async def test_a_check_says_what_the_worker_would(environment: Environment, tmp_path: Path) -> None:
    await environment.start()
    await buried(environment, an_event("same"), an_event("other"), wrong("same"), wrong("other", hour=3), wrong("new"))
    await buried(environment, wrong("hour", hour=99), b"{")
    async with an_office(environment, tmp_path / "operator") as office:
        report = await office.check(fix=fix("match-case"))
        assert report.verdicts == {
            CheckResult.PASSES: 1,
            CheckResult.STILL_FAILS: 1,
            CheckResult.WOULD_CONFLICT: 1,
            CheckResult.ALREADY_SCORED: 1,
            CheckResult.CANNOT_MEND: 1,
        }
        (conflict,) = [one for one in report.letters if one.verdict is CheckResult.WOULD_CONFLICT]
        # not in which column: that compares two values that are masked
        assert set(conflict.reasons[0].details or {}) == {"first_offset"}
        done = await office.replay(fix=fix("match-case"), yes=True, failing_too=True)
        assert done.replayed == 3
        await environment.settled()
        await office.refresh()
        groups = {group.code: group.count for group in await office.groups()}
        assert groups == {"conflict": 1, "out_of_range": 1, "invalid_value": 1, "not_json": 1}
    assert await predicted_ids(environment) == ["new", "other", "same"]


async def test_an_outcome_whose_observation_came_late_is_joined_when_it_is_replayed(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start()
    await environment.topics.report(b'{"id": "a", "true_class": "1"}', an_outcome("b", "yes"))
    await buried(environment, an_event("a"))
    async with an_office(environment, tmp_path / "operator") as office:
        assert (await office.replay(fix=fix("integers-from-text"), yes=True)).skipped == {Skip.STILL_FAILS: 1}
        await environment.settled()
        await office.refresh()
        (letter,) = await office.find(Filter(id="a", states=EVERY_STATE))
        assert [event.what for event in (await office.history(letter.place)).events] == ["failed", "replay", "joined"]


async def test_a_letter_that_was_cut_or_came_from_elsewhere_is_never_replayed(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start(worker__dead_letter_bytes_max=65_536)
    await buried(environment, b"x" * 70_000)
    (written,) = (await environment.topics.read()).letters
    headers = [
        (name, value.replace(environment.names.observations.encode(), b"elsewhere")) for name, value in written.headers
    ]
    await environment.topics.send(
        environment.names.dead_letters,
        [an_event("e")],
        partition=1,
        headers=[h for h in headers if "trunc" not in h[0]],
    )
    await environment.topics.send(environment.names.dead_letters, [an_event("f")], partition=2, headers=[("a", b"b")])
    async with an_office(environment, tmp_path / "operator") as office:
        report = await office.replay(yes=True, failing_too=True)
        assert (report.replayed, report.skipped) == (
            0,
            {Skip.TRUNCATED: 1, Skip.OTHER_TOPIC: 1, Skip.UNREADABLE: 1},
        )
        shown = await office.show(Position(written.partition, written.offset))
        assert shown.why_not_replayable == "only its first bytes were kept: ask its producer to send it again"
        assert (shown.truncated, shown.truncation, shown.size_bytes) == (True, None, len("•••".encode()))
        revealed = await office.reveal(Position(written.partition, written.offset))
        assert revealed.truncation is not None
        assert (revealed.truncation.bytes, revealed.size_bytes) == (70_000, 65_536)
        with pytest.raises(NotFoundError, match=r"no dead letter 3@77"):
            await office.show(Position(3, 77))
        assert (await office.discard(Filter(), "not ours", yes=True)).discarded == 3
        await office.refresh()
        assert await office.count() == 0
    assert await predicted_ids(environment) == []


async def test_a_discarded_letter_is_not_replayed_and_its_note_is_in_its_history(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start()
    await buried(environment, wrong("a"), wrong("b"))
    async with an_office(environment, tmp_path / "operator") as office:
        (b, _) = await office.find()
        assert (await office.discard(Filter(places=(b.place,)), "a test of theirs")).dry_run
        assert (await office.discard(Filter(places=(b.place,)), "a test of theirs", yes=True)).discarded == 1
        report = await office.replay(fix=fix("match-case"), yes=True)
        assert (report.replayed, report.skipped) == (1, {Skip.DISCARDED: 1})
        await office.refresh()
        events = (await office.history(b.place)).events
        assert [(event.what, event.details.get("why")) for event in events[1:]] == [("discard", "a test of theirs")]


async def test_what_a_letter_says_of_a_person_is_shown_only_to_those_the_ledger_knows(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start()
    await buried(environment, wrong("a", SubjectRaceCode="Ms Jones"), headers=[("client-id", b"p1"), ("x", b"secret")])
    async with an_office(environment, tmp_path / "operator") as office:
        (letter,) = await office.find()
        masked = await office.show(letter.place)
        assert "Jones" not in str(masked)
        assert "secret" not in str(masked)
        assert [piece.masked for piece in masked.pieces if piece.reasons] == [True, True]
        assert await ledger(environment) == []
        revealed = await office.reveal(letter.place, "a call from p1")
        assert [piece.text for piece in revealed.pieces if piece.reasons] == ['"Ms Jones"', '"Stop sign"']
    (entry,) = await ledger(environment)
    assert (entry.act, entry.who, entry.why, entry.letter) == (Action.REVEAL, "ann", "a call from p1", letter.place)


# what a person may try on letters without a word in the ledger
PRYING = (
    None,
    '[{"op": "test", "path": "", "value": 0}]',
    '[{"op": "copy", "from": "/observation/SubjectRaceCode", "path": "/id"}]',
    '[{"op": "copy", "from": "/observation/SubjectRaceCode", "path": "/true_class"}]',
    '[{"op": "copy", "from": "/observation/SubjectRaceCode", "path": ""}]',
    # both letters pass then, with one id, and conflict
    """[{"op": "move", "from": "/observation/SubjectRaceCode", "path": "/id"},
        {"op": "add", "path": "/observation/SubjectRaceCode", "value": "B"}]""",
)


async def test_no_check_and_no_dry_run_tells_what_a_letter_says_of_a_person(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start()
    named = {"SubjectRaceCode": "Ms Jones", "StatuteReason": "Stop Sign"}
    await buried(environment, wrong("a", **named, hour=1), wrong("b", **named, hour=2))
    verdicts = Counter[CheckResult]()
    async with an_office(environment, tmp_path / "operator") as office:
        for patch in PRYING:
            tried = fix(patch=patch)
            report = await office.check(fix=tried)
            verdicts.update(report.verdicts)
            told = [report, await office.replay(fix=tried)]
            told += [await office.preview(one.place, tried) for one in report.letters]
            assert "Jones" not in msgspec.json.encode(told).decode(), patch
        (first, *_) = report.letters
        assert "Jones" in str(await office.preview(first.place, fix(), revealed=True))
    assert verdicts == {
        CheckResult.STILL_FAILS: 8,
        CheckResult.CANNOT_MEND: 2,
        CheckResult.PASSES: 1,
        CheckResult.WOULD_CONFLICT: 1,
    }
    entries = await ledger(environment)
    assert {(entry.act, entry.who) for entry in entries} == {(Action.CHECK, "ann")}
    assert len(entries) == 2 * len(PRYING)
    assert "Jones" not in str(entries)
