"""The audit knows what operators did: replays and discards are counted, and what only one side tells of is named."""

from pathlib import Path

import msgspec

from stream_scorer.core.dead_letters.repair import Fix, parse_fix
from stream_scorer.core.records.audit_log import encode_entry
from stream_scorer.core.records.dead_letter_reader import SourcePosition
from stream_scorer.operations.audit.report import AuditReport, audit
from stream_scorer.operations.dead_letters.query.filters import Filter
from tests.support.builders import an_event
from tests.support.dead_letters import an_office, buried, ledger, wrong
from tests.support.workers import Environment


async def audited(environment: Environment) -> AuditReport:
    await environment.settled()
    return await audit({"bootstrap_servers": environment.bootstrap}, environment.names, environment.topics.group)


async def test_replays_and_discards_are_counted_and_each_stands_in_both_places(
    environment: Environment, tmp_path: Path
) -> None:
    await environment.start()
    await buried(environment, wrong("a"), wrong("b"), wrong("c"), b"{", an_event("d"))
    fix = parse_fix(named=["match-case"])
    assert isinstance(fix, Fix)
    async with an_office(environment, tmp_path / "operator") as office:
        await office.discard(Filter(id="c"), "a test of theirs", yes=True)
        await office.replay(fix=fix, yes=True)
    report = await audited(environment)
    assert report.is_fine
    assert (report.ended["dead_letter"], report.letters_replayed, report.letters_discarded) == (4, 2, 1)
    assert (report.replays, report.lost_replays, report.doubled_replays, report.forged_replays) == (2, 0, 0, 0)

    # a producer that writes our headers is named and does no harm
    forged = [("scorer.replayed-from", b'{"partition":0,"offset":0}')]
    (place,) = await environment.topics.observe(an_event("e"), headers=forged)
    report = await audited(environment)
    assert report.is_fine
    assert report.forged_replay_offsets == (f"{environment.names.observations}-{place.partition}@{place.offset}",)

    # a ledger that tells of a replay that nobody made, of a letter that was replayed before
    entry = (await ledger(environment))[-1]
    assert entry.became is not None
    invented = SourcePosition(environment.names.observations, place.partition, place.offset)
    lie = encode_entry(msgspec.structs.replace(entry, became=invented))
    await environment.topics.send(environment.names.ledger, [lie], partition=0)
    report = await audited(environment)
    assert not report.is_fine
    assert report.lost_replay_offsets == (str(invented),)
    assert set(report.doubled_replay_offsets) == {str(invented), str(entry.became)}
