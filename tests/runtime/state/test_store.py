"""A lane's store: what it keeps, what it forgets, and that whatever is done to its files it never tells half of it."""

import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_scorer.core.records.clock import WindowClock
from stream_scorer.core.records.record import BufferedRecord
from stream_scorer.core.state.entry import BufferedOutcome, Entry, ScoredObservation, pack
from stream_scorer.errors import StateError
from stream_scorer.runtime.state.rocksdb import shared_memory
from stream_scorer.runtime.state.state_directory import (
    NOTE,
    DirectoryLock,
    bytes_on_disk,
    claim_lane,
    delete_stores,
    find_stores,
)
from stream_scorer.runtime.state.store import LaneStore

TOPIC = "stops.predictions"
HOUR_MS = 3_600_000
NOON_MS = 1_700_000_000_000


def claim(state_path: Path, *, spare: bool = False) -> DirectoryLock:
    claimed = claim_lane(state_path, 0, spare=spare)
    assert claimed is not None
    return claimed


def open_store(state_path: Path, identity: str = "cluster-1") -> LaneStore:
    return LaneStore(claim(state_path), identity, shared_memory())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LaneStore]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def scored(scored_ms: int = NOON_MS, code: int = 7) -> bytes:
    return pack(Entry(ScoredObservation(code, 0.25, True, 0, 12, scored_ms, scored_ms)))


def waiting(*outcomes_ms: int) -> bytes:
    each = (
        BufferedOutcome(True, at_ms, offset, BufferedRecord(at_ms, b"{}")) for offset, at_ms in enumerate(outcomes_ms)
    )
    return pack(Entry(None, tuple(each)))


def ids_of(keys: list[tuple[int, bytes]]) -> list[bytes]:
    return [id_ for _, id_ in keys]


# What it keeps


def test_an_entry_is_found_under_its_id_and_no_other(store: LaneStore) -> None:
    store.write([(b"a", b"1"), (b"b", b"2")], {})
    assert store.get_many([b"b", b"ab", b"a", b""]) == [b"2", None, b"1", None]


@pytest.mark.parametrize(
    "id_",
    [b"position:stops.predictions", b"models", b"\xff", b"\xff" * 200, b"\x00", "é".encode(), b" "],
    ids=["a position's name", "the models' name", "0xff", "the largest", "zero", "not ASCII", "a space"],
)
def test_an_id_may_be_any_bytes(store: LaneStore, id_: bytes) -> None:
    store.models.number("default@0123456789ab", "champion")
    store.write([(id_, scored())], {TOPIC: 5})
    assert store.sweep(WindowClock(NOON_MS, HOUR_MS), 10) == 0
    assert store.get_many([id_]) == [scored()]
    assert store.positions() == {TOPIC: 5}


def test_the_last_write_of_an_id_counts_and_none_deletes_it(store: LaneStore) -> None:
    store.write([(b"a", b"1"), (b"b", b"1"), (b"a", b"2")], {})
    store.write([(b"b", None), (b"c", None)], {})
    assert store.get_many([b"a", b"b", b"c"]) == [b"2", None, None]


def test_all_is_there_again_after_close(tmp_path: Path) -> None:
    first = open_store(tmp_path)
    number = first.models.number("default@0123456789ab", "champion")
    first.write([(b"a", scored()), (b"w", waiting(NOON_MS))], {TOPIC: 17, "stops.outcome-updates": 3})
    first.write([], {TOPIC: 18})
    first.close()
    second = open_store(tmp_path)
    assert second.get_many([b"a", b"w"]) == [scored(), waiting(NOON_MS)]
    assert second.positions() == {TOPIC: 18, "stops.outcome-updates": 3}
    assert second.models[number] == ("default@0123456789ab", "champion")
    assert ids_of(second.waiting_before(NOON_MS + 1, 10)) == [b"w"]
    second.close()


def test_closing_twice_is_harmless(store: LaneStore) -> None:
    store.close()
    store.close()


def test_its_size_grows_with_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write(((b"id-%d" % number, scored(code=number)) for number in range(1000)), {})
    assert 900 <= store.ids_estimate() <= 1100
    store.close()
    assert bytes_on_disk(tmp_path / "lane-0") > 1000 * 20


# What ends with time


def test_waiting_outcomes_come_by_age_and_not_before_their_time(store: LaneStore) -> None:
    store.write(
        [(b"young", waiting(300)), (b"old", waiting(100)), (b"scored", scored(1)), (b"two", waiting(250, 200))], {}
    )
    assert store.waiting_before(100, 10) == []
    assert store.waiting_before(300, 10) == [(100, b"old"), (200, b"two")]
    assert store.waiting_before(301, 2) == [(100, b"old"), (200, b"two")]


def test_answered_outcomes_do_not_come_again(store: LaneStore) -> None:
    store.write([(b"%d" % at, waiting(at)) for at in range(100, 110)], {})
    came = []
    while due := store.waiting_before(105, 2):
        came += ids_of(due)
        store.write([(id_, None) for id_ in ids_of(due)], {}, answered=due)
    assert came == [b"100", b"101", b"102", b"103", b"104"]
    assert ids_of(store.waiting_before(200, 1)) == [b"105"]


def test_an_older_outcome_filed_later_still_comes(store: LaneStore) -> None:
    store.write([(b"new", waiting(500))], {})
    assert store.waiting_before(400, 10) == []
    store.write([(b"late", waiting(50))], {})
    assert ids_of(store.waiting_before(400, 10)) == [b"late"]


def test_what_is_not_given_back_comes_again(store: LaneStore) -> None:
    store.write([(b"a", waiting(1)), (b"b", waiting(2))], {})
    assert store.waiting_before(10, 10) == store.waiting_before(10, 10) == [(1, b"a"), (2, b"b")]


def test_a_sweep_deletes_what_is_older_than_the_window_a_few_at_a_time(store: LaneStore) -> None:
    clock = WindowClock(NOON_MS, HOUR_MS)
    old, young = scored(NOON_MS - HOUR_MS - 1), scored(NOON_MS - HOUR_MS + 1)
    store.write([(b"%03d" % number, old if number % 2 else young) for number in range(100)], {})
    store.write([(b"waits", waiting(NOON_MS - 3 * HOUR_MS))], {})
    deleted = [store.sweep(clock, 10) for _ in range(11)]
    assert deleted == [5] * 10 + [0]
    found = store.get_many([b"%03d" % number for number in range(100)])
    assert [entry is None for entry in found] == [False, True] * 50
    assert store.get_many([b"waits"]) != [None]


def test_a_sweep_rests_when_it_has_seen_all_and_begins_again_within_the_window(store: LaneStore) -> None:
    store.write([(b"a", scored(NOON_MS))], {})
    assert store.sweep(WindowClock(NOON_MS, HOUR_MS), 10) == 0
    store.write([(b"b", scored(NOON_MS - 2 * HOUR_MS))], {})
    assert store.sweep(WindowClock(NOON_MS + 1, HOUR_MS), 10) == 0
    assert store.sweep(WindowClock(NOON_MS + HOUR_MS // 4, HOUR_MS), 10) == 1


# Stores that do not fit


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"identity": "cluster-2"}, "another cluster"),
        ({"layout": 0}, "another version"),
        ({"entries": 0}, "another version"),
        (None, "incomplete"),
    ],
    ids=["other cluster", "other layout", "other entries", "no note"],
)
def test_a_store_that_does_not_fit_is_dropped_and_said_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, object] | None, why: str
) -> None:
    store = open_store(tmp_path)
    store.write([(b"a", b"1")], {TOPIC: 1})
    store.close()
    note = tmp_path / "lane-0" / NOTE
    if change is None:
        note.unlink()
    else:
        note.write_text(json.dumps(json.loads(note.read_text()) | change))
    with caplog.at_level(logging.WARNING):
        store = open_store(tmp_path)
    assert [why in record.getMessage() for record in caplog.records] == [True]
    assert (store.get_many([b"a"]), store.positions(), len(store.models)) == ([None], {}, 0)
    store.write([(b"a", b"2")], {TOPIC: 2})
    store.close()
    caplog.clear()
    store = open_store(tmp_path)
    assert (store.get_many([b"a"]), caplog.records) == ([b"2"], [])
    store.close()


def test_a_first_start_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_store(tmp_path).close()
    assert caplog.records == []


def test_starting_over_leaves_nothing(store: LaneStore) -> None:
    store.models.number("m@1", "champion")
    store.write([(b"a", scored()), (b"w", waiting(5))], {TOPIC: 9})
    store.start_over("the topic was recreated")
    assert (store.get_many([b"a"]), store.positions(), len(store.models)) == ([None], {}, 0)
    assert store.waiting_before(10, 10) == []
    store.write([(b"a", b"1")], {TOPIC: 1})
    assert store.get_many([b"a"]) == [b"1"]


# Crashes and damage. The writer's rule: position n means that ids 0 to n-1 are there, and no other

WRITER = """
import sys
from pathlib import Path
from stream_scorer.runtime.state.store import LaneStore
from stream_scorer.runtime.state.rocksdb import shared_memory
from stream_scorer.runtime.state.state_directory import claim_lane
store = LaneStore(claim_lane(Path(sys.argv[1]), 0, spare=False), "cluster-1", shared_memory())
position = store.positions().get("t", 0)
print("ready", flush=True)
while position < int(sys.argv[2]):
    numbers = range(position, position + 500)
    position += 500
    store.write([(b"%x" % (n * 2654435761 % 2**32), b"entry %026d" % n) for n in numbers], {"t": position})
if sys.argv[3] == "closing":
    print("closing", flush=True)
if sys.argv[3] in ("close", "closing"):
    store.close()
else:
    print("written", flush=True)
    sys.stdin.read()
"""


def start_writer(state_path: Path, until: int, end: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(state_path), str(until), end],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(writer: subprocess.Popen[str]) -> str:
    assert writer.stdout is not None
    return writer.stdout.readline().strip()


def kill(writer: subprocess.Popen[str]) -> None:
    with writer:
        writer.send_signal(signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL


def agreed_position(state_path: Path, *, near: int = 60_000) -> int:
    """The store's position, when entries and position agree (all of those near it, one in 50 before), and the store
    still takes a write."""
    store = open_store(state_path)
    position = store.positions().get("t", 0)
    for begin in range(0, position + near, 10_000):
        numbers = range(begin, begin + 10_000, 1 if begin > position - near else 50)
        found = store.get_many([b"%x" % (number * 2654435761 % 2**32) for number in numbers])
        assert found == [b"entry %026d" % number if number < position else None for number in numbers]
    store.write([(b"new", b"entry")], {"other": 1})
    assert store.get_many([b"new"]) == [b"entry"]
    store.write([(b"new", None)], {})
    store.close()
    return position


def test_killed_at_any_moment_entries_and_position_agree(tmp_path: Path) -> None:
    positions = []
    for wait_s in (0.0, 0.2, 0.7):
        writer = start_writer(tmp_path, 50_000_000, "close")
        assert said(writer) == "ready"
        time.sleep(wait_s)
        kill(writer)
        positions.append(agreed_position(tmp_path))
    assert positions == sorted(positions)
    assert positions[-1] > 0  # something was written out before a kill, or this test shows nothing


def test_killed_while_it_closes_entries_and_position_agree(tmp_path: Path) -> None:
    ended = []
    for number in range(8):
        state_path = tmp_path / str(number)
        writer = start_writer(state_path, 30_000, "closing")
        assert (said(writer), said(writer)) == ("ready", "closing")
        time.sleep(number * 0.003)
        writer.kill()  # or it has closed just before, which is as good
        writer.communicate()
        ended.append(agreed_position(state_path))
    assert set(ended) <= {0, 30_000}  # what was in memory is one file, written out as a whole or not at all


@pytest.fixture(scope="module", params=["closed", "killed"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 150,000 ids in several files, from a process that has ended."""
    state_path = tmp_path_factory.mktemp("whole")
    if request.param == "closed":
        with start_writer(state_path, 150_000, "close") as writer:
            assert writer.wait(60) == 0
    else:
        writer = start_writer(state_path, 150_000, "wait")
        assert (said(writer), said(writer)) == ("ready", "written")
        kill(writer)
    return state_path


def copies_with_one_file_changed(whole: Path, tmp_path: Path, kind: str) -> Iterator[tuple[Path, Path]]:
    names = sorted(file.name for file in (whole / "lane-0").glob(kind))
    assert names
    for number, name in enumerate(names):
        copy = tmp_path / str(number)
        shutil.copytree(whole, copy)
        yield copy, copy / "lane-0" / name


@pytest.mark.parametrize("kind", ["*.sst", "MANIFEST-*", "CURRENT", "OPTIONS-*", "*.json", "IDENTITY"])
def test_a_store_with_a_file_cut_in_half_is_whole_or_begun_anew(whole: Path, tmp_path: Path, kind: str) -> None:
    for copy, file in copies_with_one_file_changed(whole, tmp_path, kind):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        agreed_position(copy, near=150_000)


@pytest.mark.parametrize("kind", ["*.sst", "MANIFEST-*", "CURRENT", "OPTIONS-*", "*.json", "IDENTITY"])
def test_a_store_that_lacks_a_file_is_whole_or_begun_anew(whole: Path, tmp_path: Path, kind: str) -> None:
    for copy, file in copies_with_one_file_changed(whole, tmp_path, kind):
        file.unlink()
        agreed_position(copy, near=150_000)


def test_a_manifest_cut_anywhere_leaves_an_older_whole_or_nothing(whole: Path, tmp_path: Path) -> None:
    (manifest,) = (whole / "lane-0").glob("MANIFEST-*")
    size = manifest.stat().st_size
    for cut in range(0, size, max(1, size // 12)):
        copy = tmp_path / str(cut)
        shutil.copytree(whole, copy)
        (copy / "lane-0" / manifest.name).write_bytes(manifest.read_bytes()[:cut])
        agreed_position(copy, near=150_000)


def test_a_store_with_flipped_bytes_says_so_and_is_begun_anew_at_the_next_start(whole: Path, tmp_path: Path) -> None:
    state_path = tmp_path / "flipped"
    shutil.copytree(whole, state_path)
    for file in (state_path / "lane-0").glob("*.sst"):
        content = bytearray(file.read_bytes())
        if len(content) > 100_000:  # one with entries
            for at in range(1000, 50_000, 500):
                content[at] ^= 0xFF
            file.write_bytes(content)
    store = open_store(state_path)
    with pytest.raises(StateError, match="damaged"):
        store.get_many([b"%x" % (number * 2654435761 % 2**32) for number in range(100_000)])
    store.close()
    assert agreed_position(state_path) == 0


# Who may touch it


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    first = claim(tmp_path)
    assert claim_lane(tmp_path, 0, spare=False) is None
    assert claim_lane(tmp_path, 1, spare=False) is not None
    first.release()
    assert claim_lane(tmp_path, 0, spare=False) is not None


def test_a_lane_whose_folder_another_process_holds_takes_a_spare_one_until_that_process_ends(tmp_path: Path) -> None:
    holder = start_writer(tmp_path, 1000, "wait")
    assert (said(holder), said(holder)) == ("ready", "written")
    assert claim_lane(tmp_path, 0, spare=False) is None
    spare = LaneStore(claim(tmp_path, spare=True), "cluster-1", shared_memory())
    assert spare.positions() == {}
    spare.write([(b"a", b"1")], {"t": 1})
    spare.close()
    assert [path.name for path in find_stores(tmp_path)] == ["lane-0", "lane-0.1"]
    kill(holder)
    open_store(tmp_path).close()
    assert [path.name for path in find_stores(tmp_path)] == ["lane-0"]


def test_stores_are_deleted_only_when_nobody_holds_any_of_them(tmp_path: Path) -> None:
    for partition in (0, 1):
        claimed = claim_lane(tmp_path, partition, spare=False)
        assert claimed is not None
        LaneStore(claimed, "cluster-1", shared_memory()).close()
    holder = start_writer(tmp_path, 1000, "wait")
    assert (said(holder), said(holder)) == ("ready", "written")
    with pytest.raises(StateError, match="stop that worker"):
        delete_stores(tmp_path)
    assert [path.name for path in find_stores(tmp_path)] == ["lane-0", "lane-1"]
    assert [path.name for path in delete_stores(tmp_path, 1)] == ["lane-1"]
    kill(holder)
    assert [path.name for path in delete_stores(tmp_path)] == ["lane-0"]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_deleted_but_stores(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    for name in ("lane-x", "notes", "lane-0-copy"):
        (tmp_path / name).mkdir()
    delete_stores(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lane-0-copy", "lane-x", "notes"]


def test_a_folder_that_can_not_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"worker\.state_folder"):
        claim_lane(tmp_path / "file" / "group", 0, spare=False)
