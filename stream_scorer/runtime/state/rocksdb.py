"""RocksDB as a lane's store uses it: how it is tuned, opened and closed, and what its faults mean.

Invariant: no other module names RocksDB; a batch takes effect as a whole or, after a crash, not at all.

There is one column family and no log. What is written out together is then one file, so a batch is never half there:
families are written out one by one when they are closed, and a process can be killed in between.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

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
# With many lanes each has less, so that all of them together need little more than this.
MEMORY_BYTES_ALL: Final = 16 * 1024 * 1024
MEMORY_BYTES_MIN: Final = 1024 * 1024
BLOCK_BYTES: Final = 4096
FILE_BYTES: Final = 16 * 1024 * 1024
# Files not yet merged that a look-up of an absent id has to rule out, each by its Bloom filter
UNMERGED_FILES: Final = 8
BLOOM_BITS: Final = 10

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


class Memory(NamedTuple):
    """What the lanes of a worker share: room for blocks that they have read; and how much each may leave unwritten."""

    blocks: Cache
    unwritten_bytes: int


def shared_memory(lanes: int = 4) -> Memory:
    """The memory of one worker's stores, when it may have so many lanes."""
    return Memory(
        Cache.new_hyper_clock_cache(CACHE_BYTES, BLOCK_BYTES),
        max(MEMORY_BYTES_MIN, min(MEMORY_BYTES, MEMORY_BYTES_ALL // lanes)),
    )


def open_rows(folder: Path, memory: Memory) -> Any:
    """An open RocksDB, a mapping of bytes to bytes. (Its stubs say one of five types each; hence Any.) What it raises
    is classified by `is_disk_error` and `is_damage`; `close` writes out what is in memory."""
    options = _options(memory)
    # named, or the options (and a cache) are taken from the folder's own files
    rows = Rdict(str(folder), options, {"default": options})
    rows.set_write_options(_without_log())
    return rows


def new_batch() -> Any:
    """Writes that take effect together."""
    return WriteBatch(raw_mode=True)


def scan_options() -> ReadOptions:
    """For looking through all rows: what is met only once must not push out what is asked for again."""
    options: Any = ReadOptions()
    options.fill_cache(False)
    return options  # type: ignore[no-any-return]


def is_disk_error(error: Exception) -> bool:
    """Whether the disk is full, say: the store itself is as good as it was."""
    return isinstance(error, OSError) or any(sign in str(error) for sign in _MACHINES_FAULTS)


def is_damage(error: Exception) -> bool:
    """Whether RocksDB says that its files are not what they were."""
    return str(error).startswith(_DAMAGES)


def _without_log() -> WriteOptions:
    options: Any = WriteOptions()
    options.disable_wal = True
    return options  # type: ignore[no-any-return]


def _options(memory: Memory) -> Options:
    """A lane's entries are small, most look-ups are in vain, and two cores are shared with everything else."""
    blocks = BlockBasedOptions()
    blocks.set_block_cache(memory.blocks)
    blocks.set_block_size(BLOCK_BYTES)
    blocks.set_format_version(5)
    blocks.set_bloom_filter(BLOOM_BITS, False)
    blocks.set_data_block_index_type(DataBlockIndexType.binary_and_hash())
    blocks.set_data_block_hash_ratio(0.75)

    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(memory.unwritten_bytes)
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
