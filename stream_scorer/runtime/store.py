"""One lane's state on disk: an entry for each id, and up to where in the output topics it has been brought.

Law: entries and positions live and die together, and nothing is here that the topics don't say. So there is no
write-ahead log and no sync: what was in memory when a process died is read from the topics again, from the positions that
died with it. A store that is damaged, of another layout or of another cluster is dropped, and made again from the topics.

Three column families: entries by id, outcomes that wait by (event time, id), and what concerns the whole lane.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DataBlockIndexType,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from stream_scorer.core.answering import Clock
from stream_scorer.core.entries import ENTRY_VERSION, ROW_BYTES, Models, is_forgotten, waiting_since_ms
from stream_scorer.errors import StateError
from stream_scorer.runtime.store_folders import NOTE, Claim, bytes_on_disk

log = logging.getLogger(__name__)

# Goes up with every change of what this module writes; that of an entry has its own number.
LAYOUT_VERSION: Final = 1

# Blocks of entries kept in memory, uncompressed, for all lanes of a worker together
CACHE_BYTES: Final = 64 * 1024 * 1024
# What a lane keeps in memory before it is written out: about 40,000 ids, which are read again (0.3 s) if the process dies.
# Three of these at most. Larger ones make each write slower, smaller ones make more work of merging.
MEMORY_BYTES: Final = 4 * 1024 * 1024
BLOCK_BYTES: Final = 4096
FILE_BYTES: Final = 16 * 1024 * 1024
# Files not yet merged that a look-up of an absent id has to rule out, each by its Bloom filter
UNMERGED_FILES: Final = 8
BLOOM_BITS: Final = 10

# A store is looked through for forgotten entries this many times a join window, so that none stays much longer than
# one window and an eighth.
SWEEPS_A_WINDOW: Final = 8

_ENTRIES: Final = "default"
_WAITING: Final = "waiting"
_LANE: Final = "lane"
_POSITION: Final = b"position:"
_MODELS: Final = b"models"
# The disk's or the machine's fault: to drop the store would not help
_NOT_THE_STORES_FAULT: Final = (
    "No space left",
    "Permission denied",
    "Read-only file system",
    "Too many open files",
    "Cannot allocate memory",
    "lock hold by current process",
    "Resource temporarily unavailable",
)


def block_cache() -> Cache:
    """The memory that all lanes of a worker share for blocks that they have read."""
    return Cache.new_hyper_clock_cache(CACHE_BYTES, BLOCK_BYTES)


class LaneStore:
    """The state of one lane. Not for two threads at once; every call is quick, and none waits for the disk but `close`."""

    def __init__(self, claim: Claim, identity: str, cache: Cache) -> None:
        """Open the store in a folder that is ours, or begin a new one there.

        `identity`: what the store is a view of (cluster and topics); a store of another one is dropped. Raises
        `StateError` where the disk refuses."""
        self._claim, self._cache = claim, cache
        self._note = {"layout": LAYOUT_VERSION, "entries": ENTRY_VERSION, "identity": identity}
        try:
            self._open()
        except BaseException:
            claim.release()
            raise

    # One look-up and one write for a batch

    def get_many(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """The packed entry of each id, None where there is none."""
        try:
            found: list[bytes | None] = self._entries.get(list(ids))
        except Exception as error:
            self._fail(error)
        return found

    def write(
        self,
        entries: Iterable[tuple[bytes, bytes | None]],
        positions: Mapping[str, int],
        *,
        answered: Iterable[tuple[int, bytes]] = (),
    ) -> None:
        """Keep entries (None: delete) together with the positions that they were read or published up to (by topic, the
        next offset to read), all or nothing. `answered`: what `waiting_before` gave and has been dealt with.

        Models that `models` has learnt are kept along; the caller uses the numbers of no other table."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for since_ms, id_ in answered:
            delete(_waiting_key(since_ms, id_), self._waiting_family)
        for id_, packed in entries:
            if packed is None:
                delete(id_)
                continue
            put(id_, packed)
            if len(packed) > ROW_BYTES:
                self._file_waiting(batch, id_, packed)
        for topic, offset in positions.items():
            put(_POSITION + topic.encode(), offset.to_bytes(8, "big"), self._lane_family)
        if len(self.models) > self._models_kept:
            put(_MODELS, self.models.encode(), self._lane_family)
        try:
            self._entries.write(batch)
        except Exception as error:
            self._fail(error)
        self._models_kept = len(self.models)
        self._positions.update(positions)

    def positions(self) -> dict[str, int]:
        """By topic, the offset up to which the store has been brought (the next one to read)."""
        return dict(self._positions)

    # What ends with time

    def waiting_before(self, window_starts_ms: int, records_max: int) -> list[tuple[int, bytes]]:
        """Ids under which an outcome was filed that had happened before that time, oldest first, with that time. Some
        may have been joined since: their entries say so. Give them back to `write` as `answered`."""
        found: list[tuple[int, bytes]] = []
        try:
            for key in self._waiting.keys(from_key=self._waiting_from):
                since_ms = int.from_bytes(key[:8], "big")
                if since_ms >= window_starts_ms or len(found) == records_max:
                    break
                found.append((since_ms, key[8:]))
        except Exception as error:
            self._fail(error)
        if found:
            # what is deleted next must not be passed over again by every later call
            self._waiting_from = _waiting_key(*found[0])
        return found

    def sweep(self, clock: Clock, entries_max: int) -> int:
        """Look at the next entries, at most so many, delete those that are forgotten, and say how many. Does nothing when
        all were looked at not long ago."""
        if clock.now_ms < self._next_sweep_ms:
            return 0
        window_starts_ms = clock.window_starts_ms
        seen, forgotten = 0, []
        try:
            for id_, packed in self._entries.items(from_key=self._swept_to, read_opt=self._passing):
                if seen == entries_max:
                    self._swept_to = id_
                    break
                seen += 1
                if is_forgotten(packed, window_starts_ms):
                    forgotten.append(id_)
            else:
                self._swept_to = b""
                self._next_sweep_ms = clock.now_ms + clock.join_window_ms // SWEEPS_A_WINDOW
        except Exception as error:
            self._fail(error)
        if forgotten:
            self.write([(id_, None) for id_ in forgotten], {})
        return len(forgotten)

    # Its size and its end

    def ids_estimate(self) -> int:
        """About how many ids there are."""
        return self._entries.property_int_value("rocksdb.estimate-num-keys") or 0

    def bytes_on_disk(self) -> int:
        """Bytes of all its files."""
        return bytes_on_disk(self._claim.folder)

    def start_over(self, why: str) -> None:
        """Drop everything and begin with an empty store."""
        log.warning("the state in %s is dropped: %s; it is made again from the topics", self._claim.folder, why)
        self._shut()
        self._claim.empty()
        self._open()

    def close(self) -> None:
        """Write out what is in memory and let others have the folder. Safe to call twice."""
        try:
            self._shut()
        finally:
            self._claim.release()

    def _open(self) -> None:
        folder = self._claim.folder
        try:
            why = self._unfit()
            if why is None:
                try:
                    self._start()
                except Exception as error:
                    if _is_the_machines_fault(error):
                        raise
                    why = f"it is damaged ({error})"
                    self._shut()
            if why is not None:
                if why:
                    log.warning("the state in %s is dropped: %s; it is made again from the topics", folder, why)
                self._claim.empty()
                folder.mkdir(parents=True, exist_ok=True)
                (folder / NOTE).write_text(json.dumps(self._note))
                self._start()
        except Exception as error:
            self._shut()
            raise StateError(
                f"The state in {folder} can't be opened ({error}): make the folder writable and free some space, "
                "or set worker.state_folder to another one."
            ) from error

    def _unfit(self) -> str | None:
        """Why what lies in the folder can't be used; empty where nothing does, None where it can."""
        note = self._claim.folder / NOTE
        try:
            found = json.loads(note.read_text())
        except FileNotFoundError:
            return "it was not begun in an orderly way" if any_file(self._claim.folder) else ""
        except ValueError:
            return "it does not say what it is a view of"
        if found == self._note:
            return None
        if not isinstance(found, dict) or found.get("identity") != self._note["identity"]:
            return "it belongs to another cluster or to other topics"
        return "another version of this program wrote it"

    def _start(self) -> None:
        options = _options(self._cache)
        families = {name: options for name in (_ENTRIES, _WAITING, _LANE)}
        self._entries = entries = Rdict(str(self._claim.folder), options, families)
        without_log = WriteOptions()
        without_log.disable_wal = True  # type: ignore[method-assign, assignment]  # a property; its stub says method
        entries.set_write_options(without_log)
        self._passing = ReadOptions()
        self._passing.fill_cache = False  # type: ignore[method-assign, assignment]  # likewise
        self._waiting = entries.get_column_family(_WAITING)
        self._lane = entries.get_column_family(_LANE)
        self._waiting_family = entries.get_column_family_handle(_WAITING)
        self._lane_family = entries.get_column_family_handle(_LANE)
        kept = dict(self._lane.items())
        self.models = Models.decode(kept.pop(_MODELS)) if _MODELS in kept else Models()
        self._models_kept = len(self.models)
        self._positions = {
            key.removeprefix(_POSITION).decode(): int.from_bytes(offset, "big") for key, offset in kept.items()
        }
        self._waiting_from = self._swept_to = b""
        self._next_sweep_ms = 0

    def _shut(self) -> None:
        # the families and their handles keep the files open too
        self._waiting_family = self._lane_family = None
        for family in (self._waiting, self._lane, self._entries):
            if family is not None:
                family.close()
        self._waiting = self._lane = self._entries = None

    def _file_waiting(self, batch: WriteBatch, id_: bytes, packed: bytes) -> None:
        since_ms = waiting_since_ms(packed)
        if since_ms is not None:
            key = _waiting_key(since_ms, id_)
            batch.put(key, b"", self._waiting_family)
            self._waiting_from = min(self._waiting_from, key)

    def _fail(self, error: Exception) -> NoReturn:
        """What a fault of RocksDB's means. A damaged store is dropped when it is opened next."""
        folder = self._claim.folder
        if _is_the_machines_fault(error):
            raise StateError(f"The state in {folder} can't be read or written ({error}): free some space.") from error
        (folder / NOTE).unlink(missing_ok=True)
        raise StateError(f"The state in {folder} is damaged ({error}): start again, it is then made anew from the topics.") from error


def any_file(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _waiting_key(since_ms: int, id_: bytes) -> bytes:
    return since_ms.to_bytes(8, "big") + id_


def _is_the_machines_fault(error: Exception) -> bool:
    return isinstance(error, OSError) or any(sign in str(error) for sign in _NOT_THE_STORES_FAULT)


def _options(cache: Cache) -> Options:
    """How RocksDB keeps a lane: small, most look-ups in vain, two cores shared with everything else."""
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_block_size(BLOCK_BYTES)
    blocks.set_format_version(5)
    blocks.set_bloom_filter(BLOOM_BITS, False)
    blocks.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
    blocks.set_data_block_hash_ratio(0.75)

    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_block_based_table_factory(blocks)
    options.set_compression_type(DBCompressionType.lz4())
    # without a log, the three families must be written out together
    options.set_atomic_flush(True)
    options.set_write_buffer_size(MEMORY_BYTES)
    options.set_max_write_buffer_number(3)
    options.set_memtable_prefix_bloom_ratio(0.1)
    options.set_memtable_whole_key_filtering(True)
    options.set_allow_concurrent_memtable_write(False)  # there is one writer
    options.set_level_zero_file_num_compaction_trigger(UNMERGED_FILES)
    options.set_level_zero_slowdown_writes_trigger(4 * UNMERGED_FILES)
    options.set_level_zero_stop_writes_trigger(8 * UNMERGED_FILES)
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_target_file_size_base(FILE_BYTES)
    options.set_max_background_jobs(2)
    options.set_max_open_files(-1)
    # its own log and bookkeeping stay small
    options.set_max_log_file_size(1024 * 1024)
    options.set_keep_log_file_num(2)
    options.set_stats_dump_period_sec(0)
    options.set_manifest_preallocation_size(64 * 1024)
    options.set_max_manifest_file_size(4 * 1024 * 1024)
    return options
