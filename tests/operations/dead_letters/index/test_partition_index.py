"""Shelves: rows and position become visible together, for whoever looks, whatever dies in between."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stream_scorer.errors import StateError
from stream_scorer.operations.dead_letters.index.dictionaries import Dictionaries
from stream_scorer.operations.dead_letters.index.partition_index import PartitionIndex, PartitionIndexWriter
from stream_scorer.operations.dead_letters.index.rows import LETTER, Rows


def a_shelf(folder: Path, identity: str = "cluster/topic") -> PartitionIndex:
    return PartitionIndex(folder, "letters-0", LETTER, identity)


def rows(*offsets: int) -> Rows:
    made = np.zeros(len(offsets), dtype=LETTER)
    made["offset"] = offsets
    return made


def add(writer: PartitionIndexWriter | None, added: Rows, position: int, *producers: str) -> None:
    assert writer is not None
    for name in producers:
        writer.tables.producers.number(name)
    writer.tables.faults.number((("not_json", None),))
    writer.add(added, position)


def offsets(shelf: PartitionIndex) -> list[int]:
    return list(shelf.look().rows["offset"].tolist())


def test_what_one_adds_another_sees(tmp_path: Path) -> None:
    shelf, other = a_shelf(tmp_path / "index"), a_shelf(tmp_path / "index")
    assert (offsets(other), other.position) == ([], 0)
    with shelf.writing() as writer:
        add(writer, rows(3, 4), 6, "p1", "a name\nof two lines")
        assert (offsets(other), other.position) == ([3, 4], 6)
        add(writer, rows(8), 9, "p2")
    assert (offsets(other), other.position) == ([3, 4, 8], 9)
    tables = other.look().tables
    assert tables.producers.values == ["p1", "a name\nof two lines", "p2"]
    assert tables.faults.values == [(("not_json", None),)]


def test_only_one_writes_at_a_time_and_the_other_goes_on_where_that_one_was(tmp_path: Path) -> None:
    shelf, other = a_shelf(tmp_path), a_shelf(tmp_path)
    with shelf.writing() as writer:
        with other.writing() as second:
            assert second is None
        add(writer, rows(1), 2)
    with other.writing() as second:
        assert second is not None
        assert second.position == 2
        add(second, rows(2), 3)
    assert offsets(shelf) == [1, 2]


def test_what_was_written_behind_the_last_note_does_not_count(tmp_path: Path) -> None:
    shelf = a_shelf(tmp_path)
    with shelf.writing() as writer:
        add(writer, rows(1), 2, "p1")
    for file in ("letters-0.0.rows", "letters-0.0.producers"):
        with (tmp_path / file).open("ab") as torn:
            torn.write(b"torn" * 20)
    assert offsets(a_shelf(tmp_path)) == [1]
    with a_shelf(tmp_path).writing() as writer:
        add(writer, rows(2), 3, "p2")
    assert offsets(a_shelf(tmp_path)) == [1, 2]
    assert a_shelf(tmp_path).look().tables.producers.values == ["p1", "p2"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder: (folder / "letters-0.0.rows").unlink(), id="rows are gone"),
        pytest.param(lambda folder: (folder / "letters-0.0.rows").write_bytes(b"x"), id="rows are cut"),
        pytest.param(lambda folder: (folder / "letters-0.json").write_bytes(b"{"), id="the note is cut"),
        pytest.param(lambda folder: (folder / "letters-0.json").write_bytes(b'{"layout":0}'), id="another layout"),
    ],
)
def test_a_shelf_that_is_not_whole_is_empty_and_can_be_filled_again(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    with a_shelf(tmp_path).writing() as writer:
        add(writer, rows(1, 2), 3)
    damage(tmp_path)
    shelf = a_shelf(tmp_path)
    assert (offsets(shelf), shelf.position) == ([], 0)
    with shelf.writing() as writer:
        add(writer, rows(1, 2, 3), 4)
    assert offsets(a_shelf(tmp_path)) == [1, 2, 3]


def test_a_shelf_of_another_cluster_or_topic_is_empty(tmp_path: Path) -> None:
    with a_shelf(tmp_path).writing() as writer:
        add(writer, rows(1), 2)
    assert offsets(a_shelf(tmp_path, "another/topic")) == []
    assert offsets(a_shelf(tmp_path)) == [1]


def test_starting_over_leaves_nothing_of_before(tmp_path: Path) -> None:
    shelf = a_shelf(tmp_path)
    with shelf.writing() as writer:
        add(writer, rows(1), 2, "p1")
        assert writer is not None
        writer.start_over()
        assert (offsets(shelf), shelf.position, writer.position) == ([], 0, 0)
        add(writer, rows(0), 1, "p2")
    assert offsets(shelf) == [0]
    assert shelf.look().tables.producers.values == ["p2"]
    assert len(list(tmp_path.glob("*.rows"))) == 1


def test_rows_that_the_topic_has_deleted_are_dropped_once_they_are_most(tmp_path: Path) -> None:
    shelf = a_shelf(tmp_path)
    looked = shelf.look()
    with shelf.writing() as writer:
        add(writer, rows(*range(10)), 10, "p1")
        looked = shelf.look()
        assert writer is not None
        writer.drop_before(4, dead_rows_min=3)
        assert offsets(shelf) == list(range(10))
        writer.drop_before(7, dead_rows_min=3)
        assert offsets(shelf) == [7, 8, 9]
        add(writer, rows(11), 12, "p2")
    assert (offsets(a_shelf(tmp_path)), shelf.position) == ([7, 8, 9, 11], 12)
    assert shelf.look().tables.producers.values == ["p1", "p2"]
    assert looked.rows["offset"].tolist() == list(range(10)), "who looked before still sees what it saw"


def test_a_folder_that_can_not_be_used_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateError, match=r"worker\.state_folder"), a_shelf(tmp_path / "file").writing():
        pass


def test_tables_of_a_look_do_not_grow_while_a_writer_s_do(tmp_path: Path) -> None:
    shelf = a_shelf(tmp_path)
    with shelf.writing() as writer:
        add(writer, rows(1), 2, "p1")
        seen: Dictionaries = shelf.look().tables
        add(writer, rows(2), 3, "p2")
        assert seen.producers.values == ["p1"]
