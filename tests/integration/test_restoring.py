"""A store brought up to the output topics of a real Kafka: whatever it held before, it then says what they say."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stream_scorer.core.contract.columns import Observation
from stream_scorer.core.contract.observation_code import encode_observation, observation_columns
from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.outcome_update import AwaitingPrediction, Joined, Unknown, encode_update
from stream_scorer.core.records.prediction import encode_predictions
from stream_scorer.core.records.record import BufferedRecord, ProducerRecord, Source, rfc3339
from stream_scorer.core.state.entry import BufferedOutcome, Entry, ScoredObservation, unpack
from stream_scorer.operations.local_broker import LocalBroker
from stream_scorer.runtime.state.restore import BEYOND_WINDOW_MS, Progress, Restoration, open_store, restore
from stream_scorer.runtime.state.rocksdb import shared_memory
from stream_scorer.runtime.state.state_directory import claim_lane
from stream_scorer.runtime.state.store import LaneStore
from tests.integration.broker_sources import Broker
from tests.integration.topic_writer import SPEAKER, Hand, now_ms, writing

pytestmark = pytest.mark.kafka

LANE = 2
NOW_MS = now_ms()
WINDOW_MS = 3_600_000
CODE = 123_456


@pytest.fixture
async def hand(broker: Broker, prefix: str) -> AsyncIterator[Hand]:
    async with writing(broker.bootstrap, prefix) as hand:
        yield hand


@contextmanager
def opened(state_path: Path) -> Iterator[LaneStore]:
    claim = claim_lane(state_path, LANE, spare=False)
    assert claim is not None
    store = LaneStore(claim, "cluster", shared_memory())
    try:
        yield store
    finally:
        store.close()


async def restored(store: LaneStore, hand: Hand, progress: list[Progress] | None = None) -> Restoration:
    return await restore(
        store,
        hand.options,
        partition=LANE,
        predictions=hand.names.predictions,
        outcome_updates=hand.names.outcome_updates,
        clock=WindowClock(NOW_MS, WINDOW_MS),
        on_progress=None if progress is None else progress.append,
    )


def a_prediction(id_: str, *, offset: int = 0, age_ms: int = 0, proba: float = 0.7) -> ProducerRecord:
    (value,) = encode_predictions(
        [id_.encode()], [CODE], [proba], [offset], partition=LANE, speaker=SPEAKER, scored_at=rfc3339(NOW_MS - age_ms)
    )
    return ProducerRecord(id_.encode(), value, NOW_MS - age_ms)


def a_joined(id_: str, *, revision: int = 1, true_class: bool = True) -> ProducerRecord:
    observation = msgspec.convert(observation_columns(CODE), Observation)
    assert encode_observation(observation) == CODE
    update = Joined(
        id=id_,
        revision=revision,
        true_class=true_class,
        prediction=True,
        proba=0.7,
        correct=true_class,
        model=SPEAKER.model,
        role=SPEAKER.role,
        observation=observation,
        scored_at=rfc3339(NOW_MS),
        outcome_at=rfc3339(NOW_MS),
        delay_s=0.0,
        source=Source(LANE, 50),
    )
    return ProducerRecord(id_.encode(), encode_update(update), NOW_MS)


def an_awaiting(id_: str, *, offset: int = 60) -> ProducerRecord:
    kept = BufferedRecord(NOW_MS, b"{}")
    update = AwaitingPrediction(id_, True, rfc3339(NOW_MS), Source(LANE, offset), kept)
    return ProducerRecord(id_.encode(), encode_update(update), NOW_MS)


def an_unknown(id_: str, *, offset: int = 60) -> ProducerRecord:
    return ProducerRecord(
        id_.encode(), encode_update(Unknown(id_, True, rfc3339(NOW_MS), Source(LANE, offset))), NOW_MS
    )


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What our own code has logged; Kafka's client has its own worries with topics as fresh as these."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("stream_scorer")]


async def publish(
    hand: Hand,
    predictions: Sequence[ProducerRecord] = (),
    updates: Sequence[ProducerRecord] = (),
    *,
    abort: bool = False,
) -> None:
    """One transaction of the lane's."""
    await hand.producer.begin_transaction()
    sent = [
        await hand.producer.send(topic, record.value, record.key, LANE, timestamp_ms=record.timestamp_ms)
        for topic, records in ((hand.names.predictions, predictions), (hand.names.outcome_updates, updates))
        for record in records
    ]
    await asyncio.gather(*sent)
    await (hand.producer.abort_transaction() if abort else hand.producer.commit_transaction())


def found(store: LaneStore, *ids: str) -> list[Entry | None]:
    return [None if packed is None else unpack(packed) for packed in store.get_many([id_.encode() for id_ in ids])]


def an_entry(offset: int, *, age_ms: int = 0, true_class: bool | None = None, revision: int = 0) -> Entry:
    at_ms = NOW_MS - age_ms
    return Entry(ScoredObservation(CODE, 0.7, True, 0, offset, at_ms, at_ms, true_class, revision))


async def test_an_empty_store_learns_all_that_was_committed_and_nothing_else(hand: Hand, tmp_path: Path) -> None:
    await publish(hand, [a_prediction("a", offset=1), a_prediction("b", offset=2)])
    await publish(hand, [a_prediction("aborted")], [a_joined("a", true_class=False)], abort=True)
    await publish(
        hand,
        [a_prediction("c", offset=3)],
        [a_joined("b"), a_joined("b", revision=2, true_class=False), an_awaiting("early")],
    )
    with opened(tmp_path) as store:
        restoration = await restored(store, hand)
        assert restoration[:4] == (3, 3, 0, True)
        assert found(store, "a", "b", "c", "aborted", "early") == [
            an_entry(1),
            an_entry(2, true_class=False, revision=2),
            an_entry(3),
            None,
            Entry(None, (BufferedOutcome(True, NOW_MS, 60, BufferedRecord(NOW_MS, b"{}")),)),
        ]
        assert store.models[0] == (SPEAKER.model, SPEAKER.role)
        assert store.waiting_before(NOW_MS + 1, 10) == [(NOW_MS, b"early")]


async def test_a_store_reads_on_from_where_it_was(hand: Hand, tmp_path: Path) -> None:
    await publish(hand, [a_prediction("a", offset=1)], [an_awaiting("early"), an_awaiting("never", offset=61)])
    with opened(tmp_path) as store:
        await restored(store, hand)
    with opened(tmp_path) as store:
        assert (await restored(store, hand))[:4] == (0, 0, 0, False)
        assert found(store, "a") == [an_entry(1)]
    await publish(hand, [a_prediction("early", offset=2)], [a_joined("early"), an_unknown("never", offset=61)])
    with opened(tmp_path) as store:
        assert (await restored(store, hand))[:4] == (1, 2, 0, False)
        # the outcome that had waited is answered by the update that tells of the join, whatever its offset
        entries = found(store, "a", "early", "never")
        assert entries[0] == an_entry(1)
        assert entries[1] is not None
        assert entries[1].predicted == an_entry(2, true_class=True, revision=1).predicted
        assert entries[2] is None


async def test_positions_end_behind_the_last_marker_so_nothing_is_waited_for(hand: Hand, tmp_path: Path) -> None:
    await publish(hand, [a_prediction("a")])
    await publish(hand, [a_prediction("b")], abort=True)
    with opened(tmp_path) as store:
        progress: list[Progress] = []
        await restored(store, hand, progress)
        # one record and its marker, one that was aborted and its marker
        assert store.positions() == {hand.names.predictions: 4, hand.names.outcome_updates: 0}
        assert progress[-1] == Progress(hand.names.predictions, LANE, 4, 4)


async def test_topics_without_a_record_leave_an_empty_store_that_knows_its_place(hand: Hand, tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert (await restored(store, hand))[:4] == (0, 0, 0, True)
        assert store.positions() == {hand.names.predictions: 0, hand.names.outcome_updates: 0}


async def test_other_partitions_are_not_read(hand: Hand, tmp_path: Path) -> None:
    async with hand.producer.transaction():
        await hand.write(hand.names.predictions, LANE + 1, a_prediction("elsewhere"))
    with opened(tmp_path) as store:
        assert (await restored(store, hand)).predictions == 0
        assert found(store, "elsewhere") == [None]


async def test_an_empty_store_reads_the_join_window_and_a_week(hand: Hand, tmp_path: Path) -> None:
    beyond_ms = WINDOW_MS + BEYOND_WINDOW_MS
    await publish(hand, [a_prediction("ancient", age_ms=beyond_ms + 60_000)])
    await publish(hand, [a_prediction("old", offset=1, age_ms=beyond_ms - 60_000), a_prediction("new", offset=2)])
    with opened(tmp_path) as store:
        assert (await restored(store, hand)).predictions == 2
        assert found(store, "ancient", "old", "new") == [
            None,
            an_entry(1, age_ms=beyond_ms - 60_000),
            an_entry(2),
        ]


async def test_a_store_ahead_of_its_topic_is_made_anew(
    hand: Hand, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(hand, [a_prediction("a", offset=1)])
    with opened(tmp_path) as store:
        store.write([(b"former life", b"x" * 32)], {hand.names.predictions: 1_000, hand.names.outcome_updates: 0})
        with caplog.at_level(logging.WARNING):
            assert (await restored(store, hand))[:4] == (1, 0, 0, True)
        assert found(store, "a", "former life") == [an_entry(1), None]
        assert ["recreated or truncated" in line for line in said(caplog)] == [True]


async def test_a_store_that_retention_has_overtaken_is_made_anew(
    hand: Hand, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        await publish(hand, [a_prediction(f"id-{number}", offset=number)])
    admin = AIOKafkaAdminClient(**hand.options)
    await admin.start()
    await admin.delete_records({TopicPartition(hand.names.predictions, LANE): RecordsToDelete(before_offset=4)})
    await admin.close()
    with opened(tmp_path) as store:
        store.write([(b"id-0", b"x" * 32)], {hand.names.predictions: 2, hand.names.outcome_updates: 0})
        with caplog.at_level(logging.WARNING):
            assert (await restored(store, hand))[:4] == (1, 0, 0, True)
        assert found(store, "id-0", "id-1", "id-2") == [None, None, an_entry(2)]
        assert ["begins at 4 now" in line for line in said(caplog)] == [True]


async def test_records_that_are_not_ours_are_passed_over_and_counted(
    hand: Hand, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys_and_values = [(b"x", b"{}"), (None, a_prediction("x").value), (b"y", b"\xff"), (b"z", None)]
    strange = [ProducerRecord(key, value, NOW_MS) for key, value in keys_and_values]
    await publish(hand, [strange[0], a_prediction("a", offset=1), *strange[1:]], [*strange, an_awaiting("early")])
    with opened(tmp_path) as store, caplog.at_level(logging.WARNING):
        assert (await restored(store, hand))[:4] == (5, 5, 8, True)
        assert found(store, "a", "x", "y", "z") == [an_entry(1), None, None, None]
        assert [entry is not None for entry in found(store, "early")] == [True]
    assert ["were not written by stream-scorer" in line for line in said(caplog)] == [True]


async def test_a_restoration_cut_short_is_gone_on_with(hand: Hand, tmp_path: Path) -> None:
    ids = [f"id-{number}" for number in range(9_000)]
    for begin in range(0, len(ids), 3_000):
        chunk = range(begin, begin + 3_000)
        await publish(
            hand,
            [a_prediction(ids[number], offset=number) for number in chunk],
            [a_joined(ids[number]) for number in chunk[:100]],
        )

    class EnoughError(Exception):
        pass

    class Cut(list[Progress]):
        def append(self, progress: Progress) -> None:
            super().append(progress)
            if 3_000 < progress.position < progress.end:
                raise EnoughError

    with opened(tmp_path) as store:
        cut = Cut()
        with pytest.raises(EnoughError):
            await restored(store, hand, cut)
    with opened(tmp_path) as store:
        reached = store.positions()[hand.names.predictions]
        assert reached == cut[-1].position
        restoration = await restored(store, hand)
        assert restoration.predictions < 9_000 - 2_900
        assert restoration.outcome_updates == 300
        assert not restoration.from_topics_alone
        joined = {f"id-{number}" for number in range(9_000) if number % 3_000 < 100}
        assert found(store, *ids) == [
            an_entry(number, true_class=True, revision=1) if id_ in joined else an_entry(number)
            for number, id_ in enumerate(ids)
        ]


async def test_a_cancelled_restoration_ends_at_once_and_leaves_a_store_that_can_be_closed(
    hand: Hand, tmp_path: Path
) -> None:
    await publish(hand, [a_prediction(f"id-{number}", offset=number) for number in range(9_000)])
    with opened(tmp_path) as store:
        restoring = asyncio.create_task(restored(store, hand))
        await asyncio.sleep(0.03)
        while not restoring.done():  # the client may swallow the first one while it connects
            restoring.cancel()
            await asyncio.sleep(0.01)
    with opened(tmp_path) as store:
        await restored(store, hand)
        assert None not in store.get_many([b"id-%d" % number for number in range(9_000)])


async def test_a_broker_that_pauses_is_waited_for(own_broker: LocalBroker, prefix: str, tmp_path: Path) -> None:
    async with writing(own_broker.bootstrap, prefix) as hand:
        for begin in range(0, 40_000, 10_000):
            await publish(hand, [a_prediction(f"id-{n}", offset=n) for n in range(begin, begin + 10_000)])

        class Pause(list[Progress]):
            paused = False

            def append(self, progress: Progress) -> None:
                if not self.paused:
                    self.paused = True
                    own_broker.pause(0)
                    asyncio.get_running_loop().call_later(2.0, own_broker.resume, 0)

        with opened(tmp_path) as store:
            pause = Pause()
            restoration = await asyncio.wait_for(restored(store, hand, pause), 60)
            assert pause.paused
            assert restoration.predictions == 40_000
            assert None not in store.get_many([b"id-%d" % number for number in range(40_000)])


async def test_a_lane_waits_for_its_former_owner_to_let_go(tmp_path: Path) -> None:
    with opened(tmp_path) as former:
        former.write([(b"a", b"x" * 32)], {"t": 1})
        opening = asyncio.create_task(open_store(tmp_path, LANE, "cluster", shared_memory()))
        await asyncio.sleep(0.2)
        assert not opening.done()
    store = await asyncio.wait_for(opening, 10)
    assert store.positions() == {"t": 1}
    store.close()


async def test_a_lane_whose_former_owner_never_lets_go_opens_a_spare_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as former:
        former.write([(b"a", b"x" * 32)], {"t": 1})
        with caplog.at_level(logging.WARNING):
            store = await asyncio.wait_for(open_store(tmp_path, LANE, "cluster", shared_memory()), 10)
        assert (store.positions(), store.get_many([b"a"])) == ({}, [None])
        assert ["still holds the state" in line for line in said(caplog)] == [True]
        store.close()
