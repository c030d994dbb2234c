"""RocksDB as a lane's store uses it: how it is tuned, opened and closed, and what its faults mean.

Law: no other module names RocksDB.

Three column families: entries by id, outcomes that wait by (event time, id), and what concerns the whole lane.
"""

from pathlib import Path
from typing import Any, Final

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

# Blocks of entries kept in memory, uncompressed, for all lanes of a worker together
CACHE_BYTES: Final = 64 * 1024 * 1024
# What a lane keeps in memory before it is written out: about 40,000 ids, which are read again (0.3 s) if the process
# dies. Three of these at most. Larger ones make each write slower, smaller ones make more work of merging.
MEMORY_BYTES: Final = 4 * 1024 * 1024
BLOCK_BYTES: Final = 4096
FILE_BYTES: Final = 16 * 1024 * 1024
# Files not yet merged that a look-up of an absent id has to rule out, each by its Bloom filter
UNMERGED_FILES: Final = 8
BLOOM_BITS: Final = 10

ENTRIES: Final = "default"
WAITING: Final = "waiting"
LANE: Final = "lane"

# The disk's or the machine's fault: to drop the store would not help
_MACHINES_FAULTS: Final = (
    "No space left",
    "Permission denied",
    "Read-only file system",
    "Too many open files",
    "Cannot allocate memory",
    "lock hold by current process",
    "Resource temporarily unavailable",
)
_DAMAGES: Final = ("Corruption", "IO error", "NotFound", "Invalid argument")


def block_cache() -> Cache:
    """The memory that all lanes of a worker share for blocks that they have read."""
    return Cache.new_hyper_clock_cache(CACHE_BYTES, BLOCK_BYTES)


class Engine:
    """An open RocksDB. Raises what RocksDB raises: plain exceptions, told apart by `is_the_machines_fault` and
    `is_damage`."""

    def __init__(self, folder: Path, cache: Cache) -> None:
        families = dict.fromkeys((ENTRIES, WAITING, LANE), _options(cache))
        # Any, all of them: the stubs' keys and values are one of five types each, ours are bytes
        self.entries: Any = Rdict(str(folder), families[ENTRIES], families)
        self.entries.set_write_options(_without_log())
        self.waiting: Any = self.entries.get_column_family(WAITING)
        self.lane: Any = self.entries.get_column_family(LANE)
        self.waiting_family: Any = self.entries.get_column_family_handle(WAITING)
        self.lane_family: Any = self.entries.get_column_family_handle(LANE)
        self.passing = _without_caching()

    def batch(self) -> WriteBatch:
        """Writes that take effect together; those of no family are entries."""
        return WriteBatch(raw_mode=True)

    def close(self) -> None:
        """Write out what is in memory. Safe to call twice."""
        # each family, and its handle, keeps the files open
        self.waiting_family = self.lane_family = None
        open_, self.waiting, self.lane, self.entries = (self.waiting, self.lane, self.entries), None, None, None
        for family in open_:
            if family is not None:
                family.close()


def is_the_machines_fault(error: Exception) -> bool:
    """Whether the disk is full, say: the store itself is as good as it was."""
    return isinstance(error, OSError) or any(sign in str(error) for sign in _MACHINES_FAULTS)


def is_damage(error: Exception) -> bool:
    """Whether RocksDB says that its files are not what they were."""
    return str(error).startswith(_DAMAGES)


def _without_log() -> WriteOptions:
    options: Any = WriteOptions()
    options.disable_wal = True
    return options  # type: ignore[no-any-return]


def _without_caching() -> ReadOptions:
    options: Any = ReadOptions()
    options.fill_cache(False)
    return options  # type: ignore[no-any-return]


def _options(cache: Cache) -> Options:
    """A lane's entries are small, most look-ups are in vain, and two cores are shared with everything else."""
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
