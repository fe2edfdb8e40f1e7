from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.core.errors import Busy, InputError, IsthmusError, UnknownName
from isthmus.state.lock import held
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table
from warehouse_processes import hold, killed_at
from warehouse_rows import NAME, SMALL, batches, keys, row, small


def test_a_table_opens_with_its_units_and_explanations(tmp_path: Path) -> None:
    small(tmp_path)
    assert Catalog(tmp_path).open(NAME).schema == SMALL


def test_creating_twice_gives_the_same_table_and_another_schema_is_refused_with_the_difference(
    tmp_path: Path,
) -> None:
    first = small(tmp_path, 2)
    assert small(tmp_path).identity == first.identity
    other = Schema((*SMALL.fields[:4], Field("speed", FieldType.INT), *SMALL.fields[5:]), "id")
    with pytest.raises(InputError, match="speed"):
        Catalog(tmp_path).create(NAME, other)
    with pytest.raises(InputError, match="no field 'more'"):
        Catalog(tmp_path).create(NAME, Schema((*SMALL.fields, Field("more", FieldType.INT)), "id"))


def test_an_unknown_table_names_the_nearest(tmp_path: Path) -> None:
    small(tmp_path)
    with pytest.raises(UnknownName, match=r"did you mean 'loop\.drive\.small'"):
        Catalog(tmp_path).open(TableName("loop", "drive", "smal"))


def test_tables_are_listed_and_dropped_under_a_root_with_odd_letters(tmp_path: Path) -> None:
    root = tmp_path / "a b% ü#?"
    catalog = Catalog(root)
    assert catalog.names() == []
    small(root, 3)
    assert catalog.names() == [NAME] and catalog.open(NAME).count() == 3
    assert catalog.open(NAME).uri.startswith("file:///")
    catalog.drop(NAME)
    assert catalog.names() == []
    assert small(root).count() == 0


def test_stable_row_ids_primary_key_and_compression_are_set_and_stay_after_writes(tmp_path: Path) -> None:
    table = small(tmp_path, 5)
    table.replace(batches([row("r1", 1, 9)]), "slot = 1")
    table.compact()
    table = Catalog(tmp_path).open(NAME)
    assert table.dataset.has_stable_row_ids
    assert table.dataset.data_storage_version == "2.2"
    assert table.arrow.field("id").metadata == {b"lance-schema:unenforced-primary-key": b"true"}
    assert table.arrow.field("complex").metadata == {b"lance-encoding:compression": b"zstd"}


def test_zstd_makes_repeating_fields_smaller_and_none_leaves_them(tmp_path: Path) -> None:
    rows = [{**row(f"r{i}", 1), "complex": f"abcdefgh{i}".encode() * 2000} for i in range(200)]
    sizes = {}
    for compression in ("zstd", "none"):
        table = Catalog(tmp_path / compression).create(NAME, SMALL, compression=compression)  # type: ignore[arg-type]
        table.append(batches(rows, 50))
        sizes[compression] = sum(
            file.stat().st_size for file in (tmp_path / compression).rglob("*.lance") if file.is_file()
        )
    assert sizes["zstd"] * 5 < sizes["none"]


def test_replace_puts_in_updates_and_deletes_in_one_version(tmp_path: Path) -> None:
    table = small(tmp_path, 3, slot=1)
    table.append(batches([row("x", 2)]))
    before = table.version
    assert table.replace(batches([row("r1", 1, 40), row("new", 1, 41)]), "slot = 1") == 2
    assert keys(table) == {"r1", "new", "x"}
    assert table.version == before + 1
    assert table.at(before).count() == 4
    (changed,) = [b for b in table.scan(["speed"], "id = 'r1'") if b.num_rows]
    assert changed.column("speed").to_pylist() == [10.0]


def test_replacing_a_slice_with_nothing_empties_it(tmp_path: Path) -> None:
    table = small(tmp_path, 3)
    assert table.replace([], "slot = 1") == 0
    assert keys(table) == set()
    assert table.replace([], "slot = 1") == 0


def test_a_key_of_another_slice_moves_and_is_never_doubled(tmp_path: Path) -> None:
    table = small(tmp_path, 3, slot=1)
    before = table.version
    assert table.replace(batches([row("r1", 2), row("y", 2)]), "slot = 2") == 2
    assert table.count() == 4 and table.count("slot = 2") == 2 and table.version == before + 1
    assert sorted(key for b in table.scan(["id"]) for key in b.column("id").to_pylist()) == ["r0", "r1", "r2", "y"]


SLICES = st.lists(
    st.tuples(st.integers(1, 2), st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), max_size=5)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SLICES)
def test_replace_equals_its_model_and_a_replay_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, slices: list[tuple[int, dict[str, int]]]
) -> None:
    table = small(tmp_path_factory.mktemp("table"))
    model: dict[str, tuple[int, int]] = {}
    for slot, rows in slices:
        for _ in range(2):  # the second time is the replay after a crash
            table.replace(batches([row(key, slot, value) for key, value in rows.items()]), f"slot = {slot}")
        model = {key: was for key, was in model.items() if was[0] != slot and key not in rows}
        model |= {key: (slot, value) for key, value in rows.items()}
        found = [r for b in table.scan(["id", "slot", "complex"]) for r in b.to_pylist()]
        assert len(found) == len(model)
        for item in found:
            slot_of, value = model[item["id"]]
            assert item["slot"] == slot_of and item["complex"] == row(item["id"], slot_of, value)["complex"]


@pytest.mark.parametrize("how", ["append", "replace an empty slice", "replace a filled slice"])
def test_a_key_that_comes_twice_is_named_and_nothing_goes_in(tmp_path: Path, how: str) -> None:
    table = small(tmp_path, 2)
    version = table.version
    twice = list(batches([row("q", 1), row("p", 1), row("n", 1), row("q", 1)]))
    with pytest.raises(InputError, match="'q' comes twice"):
        if how == "append":
            table.append(twice)
        else:
            table.replace(twice, "slot = 1" if "filled" in how else "slot = 7")
    assert table.refresh() == version and table.count() == 2


def test_appending_a_key_that_is_there_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    table = small(tmp_path, 2)
    files = sorted(tmp_path.rglob("data/*"))
    with pytest.raises(InputError, match="'r1' is already in the table"):
        table.append(batches([row("r1", 3), row("n", 3)]))
    assert table.count() == 2 and sorted(tmp_path.rglob("data/*")) == files


def test_the_error_of_a_source_comes_through_and_nothing_goes_in(tmp_path: Path) -> None:
    table = small(tmp_path, 2)

    def broken():  # type: ignore[no-untyped-def]
        yield from batches([row("n", 1)])
        raise InputError("the source broke")

    for where in ("slot = 1", "slot = 5"):
        with pytest.raises(InputError, match="the source broke"):
            table.replace(broken(), where)
    assert keys(table) == {"r0", "r1"}


def test_a_full_disk_is_told_in_one_line_and_nothing_goes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = small(tmp_path, 2)

    def full(reader: pa.RecordBatchReader, *_: object, **__: object) -> None:
        reader.read_next_batch()
        raise OSError("No space left on device (os error 28)\nat a place")

    monkeypatch.setattr("isthmus.warehouse.table.write_fragments", full)
    with pytest.raises(IsthmusError, match="No space left") as caught:
        table.append(batches([row("n", 1)]))
    assert "\n" not in str(caught.value) and table.refresh() and table.count() == 2


def test_rows_that_do_not_fit_the_schema_are_refused(tmp_path: Path) -> None:
    table = small(tmp_path)
    (batch,) = batches([row("a", 1)])
    with pytest.raises(InputError, match="lack the column 'complex'"):
        table.append([batch.drop_columns(["complex"])])
    with pytest.raises(UnknownName, match="sped"):
        table.append([batch.append_column("sped", pa.array([1.0]))])
    with pytest.raises(InputError, match="holds nulls"):
        table.append(batches([{**row("a", 1), "tags": None}]))
    with pytest.raises(InputError, match="the table holds int64"):
        table.append([batch.set_column(1, "slot", pa.array(["one"]))])
    assert table.count() == 0


def test_a_bad_condition_and_an_unknown_column_are_one_line(tmp_path: Path) -> None:
    table = small(tmp_path, 2)
    with pytest.raises(UnknownName, match="did you mean 'speed'"):
        table.count("sped > 3")
    with pytest.raises(UnknownName, match="did you mean 'speed'"):
        table.scan(["sped"])
    for bad in ("slot >", "slot = 'x' AND", "delete from x"):
        with pytest.raises(InputError) as caught:
            table.delete(bad)
        assert "\n" not in str(caught.value)
    assert table.count() == 2


def test_delete_counts_and_makes_no_version_for_nothing(tmp_path: Path) -> None:
    table = small(tmp_path, 5)
    assert table.delete("id in ('r1', 'r2')") == 2
    version = table.version
    assert table.delete("id = 'r1'") == 0 and table.version == version


def test_a_second_writer_is_told_that_the_table_is_busy(tmp_path: Path) -> None:
    table = small(tmp_path, 2)
    with held(tmp_path / "loop/drive/.small.lock", "it"):
        for write in (lambda: table.append([]), lambda: table.delete("slot = 1"), table.compact):
            with pytest.raises(Busy):
                write()
    assert table.delete("slot = 1") == 2


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    assert killed_at(hold, str(tmp_path / "l")) == -9
    with held(tmp_path / "l", "it"), pytest.raises(Busy), held(tmp_path / "l", "it"):
        pass


def test_compaction_bounds_the_rows_of_a_fragment_and_keeps_row_ids(tmp_path: Path) -> None:
    table = small(tmp_path, rows_per_fragment=10)
    for start in range(0, 25, 5):
        table.append(batches([row(f"r{i}", 1, i) for i in range(start, start + 5)]))
    before = {r["id"]: r["_rowid"] for b in table.scan(["id"], with_row_id=True) for r in b.to_pylist()}
    table.delete("id = 'r3'")
    table.compact()
    after = {r["id"]: r["_rowid"] for b in table.scan(["id"], with_row_id=True) for r in b.to_pylist()}
    assert after == {key: at for key, at in before.items() if key != "r3"}
    sizes = [fragment.count_rows() for fragment in table.dataset.get_fragments()]
    assert len(sizes) < 5 and max(sizes) <= 14


def test_a_pinned_version_outlives_cleanup_and_an_unpinned_one_does_not(tmp_path: Path) -> None:
    table = small(tmp_path, 3)
    table.pin("kept")
    pinned = table.version
    for i in range(3):
        table.replace(batches([row("r0", 1, i)]), "slot = 1")
    table.cleanup(datetime.timedelta(0))
    assert table.at("kept").count() == 3 and table.at(pinned).count() == 3
    with pytest.raises(InputError, match="no version"):
        table.at(pinned + 1)
    table.unpin("kept")
    table.cleanup(datetime.timedelta(0))
    with pytest.raises(InputError):
        table.at(pinned)
    with pytest.raises(UnknownName):
        table.unpin("kept")


def test_a_scan_keeps_its_batches_small_and_can_read_an_older_version(tmp_path: Path) -> None:
    table = small(tmp_path, 50)
    version = table.version
    table.delete("slot = 1")
    sizes = [batch.num_rows for batch in table.scan(["id"], batch_rows=7, version=version)]
    assert sum(sizes) == 50 and max(sizes) <= 7
    assert isinstance(table.at(version), Table)
