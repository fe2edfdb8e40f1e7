from __future__ import annotations

import datetime
import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.core.errors import Busy, InputError, UnknownName
from isthmus.state.lock import held
from isthmus.warehouse import alter, declared
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.lancefields import LanceFields
from isthmus.warehouse.name import TableName
from isthmus.warehouse.olap import Olap
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table
from warehouse_rows import NAME, SMALL, batches, keys, row, small

OTHER = TableName("loop", "other", "moved")
T = FieldType


def values(table: Table, column: str) -> dict[str, Any]:
    found = [item for batch in table.scan(["id", column]) for item in batch.to_pylist()]
    return {item["id"]: item[column] for item in found}


def sound(table: Table) -> None:
    """The declaration, the columns, the key's metadata and the identity agree, here and for who opens anew."""
    for one in (table, Catalog(table.uri.removeprefix("file://").rsplit("/", 3)[0]).open(NAME)):
        assert one.schema.names == tuple(one.arrow.names)
        for item in one.schema.fields:
            assert one.arrow.field(item.name).type == item.arrow()
            assert one.arrow.field(item.name).nullable == (item.nullable and item.name != one.schema.key)
        assert one.arrow.field(one.schema.key).metadata == {b"lance-schema:unenforced-primary-key": b"true"}
        assert [field.name for field in map(_Named, one.dataset.lance_schema.unenforced_primary_key())] == [
            one.schema.key
        ]
        assert one.identity and one.dataset.has_stable_row_ids


class _Named:
    def __init__(self, field: Any) -> None:
        self.name = field.name()


def ids(table: Table) -> dict[str, int]:
    found = [item for batch in table.scan([table.schema.key], with_row_id=True) for item in batch.to_pylist()]
    return {item[table.schema.key]: item["_rowid"] for item in found}


def stirred(root: Path) -> Table:
    """Several fragments, deleted rows, updated rows."""
    table = small(root, 9, rows_per_fragment=3)
    table.replace(batches([row("r1", 1, 12)]), "id = 'r1'")
    table.delete("id = 'r4'")
    return table


def test_an_added_column_is_null_in_old_rows_and_takes_new_ones(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    identity, before, version = table.identity, ids(table), table.version
    data = sorted(tmp_path.rglob("data/*"))
    alter.add_column(table, Field("lane", T.INT, "the lane", "1"))
    sound(table)
    assert table.version == version + 1 and table.identity == identity and ids(table) == before
    assert sorted(tmp_path.rglob("data/*")) == data  # nothing was written for it
    assert table.schema["lane"] == Field("lane", T.INT, "the lane", "1")
    assert set(values(table, "lane").values()) == {None}
    (batch,) = batches([row("n", 1)])
    table.append([batch.append_column("lane", pa.array([3]))])
    assert values(table, "lane")["n"] == 3
    with pytest.raises(InputError, match="lack the column 'lane'"):
        table.append([batch])


@pytest.mark.parametrize(
    ("field", "fill", "want"),
    [
        (Field("new", T.STRING, nullable=False), "x", "x"),
        (Field("new", T.FLOAT), 1.5, 1.5),
        (Field("new", T.STRINGS, nullable=False), None, []),
        (Field("new", T.INTS, nullable=False), [1, 2], [1, 2]),
        (Field("new", T.VECTOR, size=2), [1.0, 2.0], [1.0, 2.0]),
        (Field("new", T.DATE), datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
    ],
    ids=lambda part: part.type.value if isinstance(part, Field) else "",
)
def test_a_column_is_added_with_a_filling_in_every_row(
    tmp_path: Path, field: Field, fill: object, want: object
) -> None:
    table = stirred(tmp_path)
    before = ids(table)
    alter.add_column(table, field, fill)
    sound(table)
    assert list(values(table, "new").values()) == [want] * 8 and ids(table) == before
    table.compact()
    assert list(values(table, "new").values()) == [want] * 8


def test_columns_are_changed_in_a_table_without_rows(tmp_path: Path) -> None:
    table = small(tmp_path)
    alter.add_column(table, Field("tags2", T.STRINGS, nullable=False))
    alter.retype_column(table, "slot", T.FLOAT)
    alter.rename_column(table, "speed", "pace")
    alter.drop_column(table, "day")
    sound(table)
    assert table.schema["slot"].type is T.FLOAT and "day" not in table.schema.names


def test_a_complex_field_is_added_with_its_compression_but_only_one(tmp_path: Path) -> None:
    schema = Schema(tuple(item for item in SMALL.fields if item.type is not T.COMPLEX), "id")
    table = Catalog(tmp_path).create(NAME, schema)
    alter.add_column(table, Field("whole", T.COMPLEX))
    sound(table)
    assert table.arrow.field("whole").metadata == {b"lance-encoding:compression": b"zstd"}
    with pytest.raises(InputError, match="has a complex field already, 'whole'"):
        alter.add_column(table, Field("more", T.COMPLEX))


def test_a_renamed_column_keeps_its_values_its_place_and_its_index(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    alter.create_index(table, "speed")
    before, order = values(table, "speed"), table.schema.names
    alter.rename_column(table, "speed", "pace")
    alter.rename_column(table, "tags", "labels")
    sound(table)
    assert values(table, "pace") == before and table.schema["pace"].unit == "m/s"
    assert table.schema.names == tuple({"speed": "pace", "tags": "labels"}.get(name, name) for name in order)
    assert alter.indexes(table) == {"pace": "btree"}
    with pytest.raises(UnknownName, match="speed"):
        table.scan(["speed"])


def test_a_renamed_key_is_still_the_key_for_merges(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    alter.rename_column(table, "id", "name")
    assert table.schema.key == "name"
    sound(table)
    renamed = [batch.rename_columns(["name", *batch.schema.names[1:]]) for batch in batches([row("r1", 1, 20)])]
    table.replace(renamed, "name = 'r1'")
    assert table.count() == 8 and table.count("name = 'r1' AND speed = 5.0") == 1
    with pytest.raises(InputError, match="'r1' is already in the table"):
        table.append(renamed)


def test_a_dropped_column_is_gone_with_its_index_and_its_number_is_not_used_again(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    alter.create_index(table, "speed")
    for name in ("complex", "vector", "speed"):
        alter.drop_column(table, name)
    sound(table)
    assert alter.indexes(table) == {}
    alter.add_column(table, Field("complex", T.COMPLEX))
    alter.add_column(table, Field("speed", T.FLOAT))
    sound(table)
    assert set(values(table, "complex").values()) == set(values(table, "speed").values()) == {None}
    table.compact()
    assert set(values(table, "complex").values()) == {None} and table.count() == 8


RETYPED: list[tuple[FieldType, list[Any], FieldType, list[Any]]] = [
    (T.INT, [1, None, -3], T.FLOAT, [1.0, None, -3.0]),
    (T.INT, [1, None], T.STRING, ["1", None]),
    (T.FLOAT, [2.0, None], T.INT, [2, None]),
    (T.FLOAT, [0.1, None], T.STRING, ["0.1", None]),
    (T.BOOL, [True, None], T.INT, [1, None]),
    (T.BOOL, [True, None], T.STRING, ["true", None]),
    (T.STRING, ["12", None], T.INT, [12, None]),
    (T.STRING, ["1.5", None], T.FLOAT, [1.5, None]),
    (T.STRING, ["true", None], T.BOOL, [True, None]),
    (T.STRING, ["2026-01-02", None], T.DATE, [datetime.date(2026, 1, 2), None]),
    (
        T.STRING,
        ["2026-01-02T03:04:05Z"],
        T.TIMESTAMP,
        [datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)],
    ),
    (T.DATE, [datetime.date(2026, 1, 2)], T.TIMESTAMP, [datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)]),
    (T.DATE, [datetime.date(2026, 1, 2)], T.STRING, ["2026-01-02"]),
    (T.TIMESTAMP, [datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)], T.DATE, [datetime.date(2026, 1, 2)]),
    (T.INTS, [[1, 2], []], T.FLOATS, [[1.0, 2.0], []]),
    (T.INTS, [[1], []], T.STRINGS, [["1"], []]),
    (T.FLOATS, [[1.0], []], T.INTS, [[1], []]),
    (T.FLOATS, [[1.0, 2.0], [3.0, 4.0]], T.VECTOR, [[1.0, 2.0], [3.0, 4.0]]),
    (T.VECTOR, [[1.0, 2.0], None], T.FLOATS, [[1.0, 2.0], None]),
    (T.STRINGS, [["1"], []], T.INTS, [[1], []]),
]


def of_type(root: Path, kind: FieldType, cells: list[Any]) -> Table:
    size = 2 if kind is T.VECTOR else 0
    fields = (Field("id", T.STRING, nullable=False), Field("it", kind, "what it is", "u", size), Field("z", T.INT))
    table = Catalog(root).create(NAME, Schema(fields, "id"), rows_per_fragment=2)
    arrow = pa.schema([pa.field(item.name, item.arrow()) for item in fields])
    rows = [{"id": f"k{n}", "it": cell, "z": n} for n, cell in enumerate(cells)]
    table.append([pa.RecordBatch.from_pylist(rows, schema=arrow)])
    return table


@pytest.mark.parametrize(
    ("kind", "cells", "to", "want"), RETYPED, ids=lambda part: part.value if isinstance(part, FieldType) else ""
)
def test_a_retyped_column_holds_every_value_in_its_new_type_at_its_old_place(
    tmp_path: Path, kind: FieldType, cells: list[Any], to: FieldType, want: list[Any]
) -> None:
    table = of_type(tmp_path, kind, cells)
    before, version = ids(table), table.version
    alter.retype_column(table, "it", to, size=2)
    sound(table)
    assert table.version == version + 1 and ids(table) == before
    assert list(values(table, "it").values()) == want
    assert table.schema["it"] == Field("it", to, "what it is", "u", 2 if to is T.VECTOR else 0)
    table.compact()
    table.cleanup(datetime.timedelta(0))
    assert list(values(table, "it").values()) == want


@pytest.mark.parametrize(
    ("kind", "cells", "to"),
    [
        (T.INT, [1, 2**60 + 1], T.FLOAT),
        (T.FLOAT, [1.5], T.INT),
        (T.FLOAT, [float("nan")], T.INT),
        (T.STRING, ["1", "x"], T.INT),
        (T.STRING, ["soon"], T.DATE),
        (T.STRING, ["2026-01-02T03:04:05"], T.TIMESTAMP),
        (T.TIMESTAMP, [datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC)], T.DATE),
        (T.FLOATS, [[1.5]], T.INTS),
        (T.INTS, [[2**40 + 1]], T.FLOATS),
        (T.FLOATS, [[1.0, 2.0], [1.0]], T.VECTOR),
    ],
    ids=lambda part: part.value if isinstance(part, FieldType) else "",
)
def test_a_value_that_would_lose_something_ends_the_change_and_nothing_is_changed(
    tmp_path: Path, kind: FieldType, cells: list[Any], to: FieldType
) -> None:
    table = of_type(tmp_path, kind, cells)
    version = table.version
    with pytest.raises(InputError, match=r"'it' (does not become|would lose something)") as caught:
        alter.retype_column(table, "it", to, size=2)
    assert "\n" not in str(caught.value)
    assert table.refresh() == version and table.schema["it"].type is kind


def test_a_retyped_column_loses_its_index_and_a_value_of_a_deleted_row_does_not_matter(tmp_path: Path) -> None:
    table = of_type(tmp_path, T.STRING, ["1", "x", "3", "4"])
    alter.create_index(table, "it")
    alter.create_index(table, "z", "bitmap")
    table.delete("it = 'x'")
    alter.retype_column(table, "it", T.INT)
    assert alter.indexes(table) == {"z": "bitmap"}
    assert values(table, "it") == {"k0": 1, "k2": 3, "k3": 4} and table.count("it > 2") == 2
    assert table.count("z = 2") == 1
    version = table.version
    alter.retype_column(table, "it", T.INT)
    assert table.version == version


def test_what_makes_no_sense_is_refused_with_what_would(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    version = table.version
    wrong = {
        "is the key": lambda: alter.drop_column(table, "id"),
        "is the key of": lambda: alter.retype_column(table, "id", T.INT),
        "cannot become complex": lambda: alter.retype_column(table, "slot", T.COMPLEX),
        "already": lambda: alter.add_column(table, Field("Speed", T.FLOAT)),
        "column 'slot' already": lambda: alter.rename_column(table, "speed", "slot"),
        "is no column name": lambda: alter.rename_column(table, "speed", "_rowid"),
        "no column name; use letters": lambda: alter.add_column(table, Field("a b", T.INT)),
        "is never null": lambda: alter.add_column(table, Field("must", T.INT, nullable=False)),
        "'x' is no int": lambda: alter.add_column(table, Field("must", T.INT), "x"),
        "did you mean 'speed'": lambda: alter.drop_column(table, "sped"),
        "a scalar index is on": lambda: alter.create_index(table, "complex"),
        "btree does not fit 'tags'": lambda: alter.create_index(table, "tags", "btree"),
        "no index on 'slot'": lambda: alter.drop_index(table, "slot"),
    }
    for words, step in wrong.items():
        with pytest.raises(InputError, match=words):
            step()
    assert table.refresh() == version
    with held(tmp_path / "loop/drive/.small.lock", "it"), pytest.raises(Busy):
        alter.drop_column(table, "speed")


def test_indexes_are_made_anew_found_and_taken_away(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    alter.create_index(table, "slot")
    alter.create_index(table, "slot", "bitmap")
    alter.create_index(table, "tags")
    assert alter.indexes(table) == {"slot": "bitmap", "tags": "labellist"}
    assert table.count("slot = 1") == 8
    alter.drop_index(table, "slot")
    assert list(alter.indexes(table)) == ["tags"]


def test_another_process_that_holds_the_table_sees_the_new_columns_after_a_refresh(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    other = Catalog(tmp_path).open(NAME)
    assert "speed" in other.schema.names
    alter.rename_column(table, "speed", "pace")
    assert "speed" in other.schema.names  # until it moves
    other.refresh()
    assert "pace" in other.schema.names and other.arrow.names == table.arrow.names


def test_a_reader_between_two_changes_never_finds_columns_and_declaration_apart(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    ended, wrong = threading.Event(), []

    def look() -> None:
        while not ended.is_set():
            found = Catalog(tmp_path).open(NAME)
            if found.schema.names != tuple(found.arrow.names):
                wrong.append(found.version)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(6):
        alter.add_column(table, Field(f"n{number}", T.INT), number)
        alter.retype_column(table, f"n{number}", T.STRING)
        alter.rename_column(table, f"n{number}", f"m{number}")
    ended.set()
    reader.join()
    assert wrong == [] and values(table, "m3") == dict.fromkeys(keys(table), "3")


CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "rename", "drop", "retype", "rows", "compact", "index"]), st.integers(0, 5)),
    min_size=1,
    max_size=7,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES)
def test_any_changes_of_columns_equal_their_model_and_the_olap_follows(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int]]
) -> None:
    root = tmp_path_factory.mktemp("altered")
    schema = Schema((Field("id", T.STRING, nullable=False), Field("a", T.INT)), "id")
    table = Catalog(root).create(NAME, schema, rows_per_fragment=4)
    olap = Olap(root / "olap.duckdb")
    model: dict[str, dict[str, Any]] = {}
    for number, (change, pick) in enumerate(changes):
        names = [name for name in table.schema.names if name != "id"]
        chosen = names[pick % len(names)] if names else None
        if change == "add":
            fill = pick if pick % 2 else None
            alter.add_column(table, Field(f"c{pick}_{number % 2}", T.INT), fill) if (
                f"c{pick}_{number % 2}" not in names
            ) else None
            model = {key: {f"c{pick}_{number % 2}": fill} | held for key, held in model.items()}
        elif change == "rename" and chosen:
            alter.rename_column(table, chosen, f"n{number}")
            model = {
                key: {f"n{number}" if k == chosen else k: v for k, v in was.items()} for key, was in model.items()
            }
        elif change == "drop" and chosen:
            alter.drop_column(table, chosen)
            model = {key: {k: v for k, v in was.items() if k != chosen} for key, was in model.items()}
        elif change == "retype" and chosen:
            to = T.STRING if table.schema[chosen].type is T.INT else T.INT
            alter.retype_column(table, chosen, to)
            cast = str if to is T.STRING else int
            for was in model.values():
                was[chosen] = None if was[chosen] is None else cast(was[chosen])
        elif change == "rows":
            types = {name: table.schema[name].type for name in names}
            new = {
                f"k{n}": {name: n if types[name] is T.INT else str(n) for name in names}
                for n in range(pick, pick + 3)
            }
            rows = [{"id": key} | cells for key, cells in new.items()]
            arrow = pa.schema([pa.field(item.name, item.arrow()) for item in table.schema.fields])
            table.replace([pa.RecordBatch.from_pylist(rows, schema=arrow)], "id = 'none'")
            model |= new
        elif change == "compact":
            table.compact()
        elif change == "index" and chosen:
            alter.create_index(table, chosen)
        if pick % 2:
            olap.follow(table, "t")
    found = {item.pop("id"): item for batch in table.scan() for item in batch.to_pylist()}
    assert found == model
    olap.follow(table, "t")
    followed = {
        item.pop("id"): item
        for item in olap.query("SELECT * EXCLUDE (_rowid, _row_last_updated_at_version) FROM t").to_pylist()
    }
    assert followed == model


def test_the_olap_does_not_keep_the_values_of_a_column_that_was_dropped_and_made_again(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    olap = Olap(tmp_path / "olap.duckdb")
    olap.follow(table, "small", ["speed"])
    alter.drop_column(table, "speed")
    alter.add_column(table, Field("speed", T.FLOAT, "speed", "m/s"))
    alter.drop_column(table, "slot")
    olap.follow(table, "small", ["speed"])
    assert olap.query("SELECT count(speed) AS n FROM small")["n"].to_pylist() == [0]


@given(st.data())
def test_a_lance_schema_that_is_taken_apart_and_put_together_is_the_same(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from([kind for kind in T if kind is not T.COMPLEX]), max_size=6))
    fields = [Field("id", T.STRING), *(Field(f"f{n}", kind, size=3) for n, kind in enumerate(kinds))]
    from lance.schema import LanceSchema

    whole = LanceSchema.from_pyarrow(declared.to_arrow(Schema(tuple(fields), "id")))
    apart = LanceFields.of(whole)
    assert apart.schema() == whole and apart.schema().to_pyarrow().equals(whole.to_pyarrow(), check_metadata=True)
    moved = apart.of_arrow([declared.arrow_field(item) for item in fields], 1000)
    assert [field.id for field in moved.fields] == [1000 + field.id for field in apart.fields]


def test_a_renamed_table_keeps_identity_versions_pins_and_rows(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    table.pin("kept")
    catalog = Catalog(tmp_path)
    folder = (tmp_path / "loop/drive/small.lance").stat().st_ino
    moved = catalog.rename(NAME, OTHER)
    assert (tmp_path / "loop/other/moved.lance").stat().st_ino == folder  # moved in one step, not copied
    assert catalog.names() == [OTHER]
    assert (moved.identity, moved.version, moved.count()) == (table.identity, table.version, 8)
    assert moved.at("kept").version == table.version
    moved.append(batches([row("n", 1)]))
    assert small(tmp_path).identity != moved.identity  # the old name is free
    with pytest.raises(InputError, match="already there"):
        catalog.rename(OTHER, NAME)
    with pytest.raises(UnknownName):
        catalog.rename(TableName("loop", "drive", "nothing"), TableName("loop", "drive", "n"))


def test_tables_of_an_object_store_are_not_renamed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an object store moves no folder; make"):
        Catalog("memory://root").rename(NAME, OTHER)


def test_a_table_that_is_written_is_not_renamed_under_its_writer(tmp_path: Path) -> None:
    table = stirred(tmp_path)
    with table.writing(), pytest.raises(Busy):
        Catalog(tmp_path).rename(NAME, OTHER)
    assert Catalog(tmp_path).names() == [NAME]


def rename_until(root: str, folder: str, reached: Any) -> None:
    """Rename, and stop for good before the sync of a folder."""
    from isthmus.warehouse import catalog

    true_sync = catalog.sync_folder

    def sync(place: Path) -> None:
        if place.name == folder:
            reached.set()
            multiprocessing.Event().wait()
        true_sync(place)

    catalog.sync_folder = sync
    Catalog(root).rename(NAME, OTHER)


def drop_until(root: str, reached: Any) -> None:
    """Drop, and stop for good before anything is removed."""
    import shutil

    def stop(*_: object) -> None:
        reached.set()
        multiprocessing.Event().wait()

    shutil.rmtree = stop  # type: ignore[assignment]
    Catalog(root).drop(NAME)


@pytest.fixture
def killed() -> Iterator[Any]:
    from warehouse_processes import killed_at

    yield killed_at


@pytest.mark.parametrize(("folder", "there"), [("loop", NAME), ("other", OTHER), ("drive", OTHER)])
def test_a_rename_killed_at_any_moment_leaves_the_table_whole_under_one_name(
    tmp_path: Path, killed: Any, folder: str, there: TableName
) -> None:
    table = stirred(tmp_path)
    assert killed(rename_until, str(tmp_path), folder) == -9
    catalog = Catalog(tmp_path)
    assert catalog.names() == [there]
    assert catalog.open(there).count() == 8 and catalog.open(there).identity == table.identity
    if there == NAME:
        assert catalog.rename(NAME, OTHER).count() == 8


def test_a_drop_that_is_killed_leaves_no_half_table_and_the_next_one_takes_the_rest(
    tmp_path: Path, killed: Any
) -> None:
    stirred(tmp_path)
    assert killed(drop_until, str(tmp_path)) == -9
    catalog = Catalog(tmp_path)
    assert catalog.names() == [] and list(tmp_path.rglob("*.dropped"))
    small(tmp_path, 2)
    catalog.drop(NAME)
    assert not list(tmp_path.rglob("*.dropped")) and not list(tmp_path.rglob("*.manifest"))
