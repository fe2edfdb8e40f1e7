from __future__ import annotations

import datetime
import errno
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.core.errors import Busy, Corrupt, InputError, IsthmusError, QueryRefused, UnknownName
from isthmus.state.lock import held
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.olap import STEPS, Followed, Olap
from isthmus.warehouse.table import Table
from warehouse_processes import follow_until, killed_at
from warehouse_rows import DAY, NAME, SMALL, batches, row, small

SIMPLE = [item.name for item in SMALL.simple]


def warehouse(table: Table) -> list[dict[str, Any]]:
    table.refresh()
    rows = [r for b in table.scan([*SIMPLE, "_rowid", "_row_last_updated_at_version"]) for r in b.to_pylist()]
    return sorted(rows, key=lambda r: r["id"])


def content(olap: Olap, name: str = "small") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = olap.query(f"SELECT * FROM {name} ORDER BY id").to_pylist()
    return [{**r, "at": r["at"].astimezone(datetime.UTC)} for r in found]


def test_a_first_follow_loads_everything_and_the_next_does_nothing(tmp_path: Path) -> None:
    table, olap = small(tmp_path, 20), Olap(tmp_path / "olap.duckdb")
    assert olap.follow(table, "small") == Followed(20, 0, None, table.version)
    assert content(olap) == warehouse(table)
    before = (tmp_path / "olap.duckdb").stat()
    assert olap.follow(table, "small") == Followed(0, 0, table.version, table.version)
    after = (tmp_path / "olap.duckdb").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_fields_keep_their_types(tmp_path: Path) -> None:
    table, olap = small(tmp_path, 3), Olap(tmp_path / "olap.duckdb")
    olap.follow(table, "small")
    types = {r["column_name"]: r["column_type"] for r in olap.query("DESCRIBE small").to_pylist()}
    assert types == {
        "id": "VARCHAR",
        "slot": "BIGINT",
        "day": "DATE",
        "at": "TIMESTAMP WITH TIME ZONE",
        "speed": "DOUBLE",
        "good": "BOOLEAN",
        "tags": "VARCHAR[]",
        "counts": "BIGINT[]",
        "profile": "FLOAT[]",
        "vector": "FLOAT[3]",
        "_rowid": "UBIGINT",
        "_row_last_updated_at_version": "UBIGINT",
    }


def test_only_what_changed_is_carried(tmp_path: Path) -> None:
    table, olap = small(tmp_path, 20), Olap(tmp_path / "olap.duckdb")
    olap.follow(table, "small")
    start = table.version
    table.append(batches([row("x", 2)]))
    table.replace(batches([row("x", 2, 5), row("y", 2, 6)]), "slot = 2")
    table.delete("id in ('r3', 'r4')")
    assert olap.follow(table, "small") == Followed(2, 2, start, table.version)
    assert content(olap) == warehouse(table)


def test_compaction_alone_changes_no_row(tmp_path: Path) -> None:
    table, olap = small(tmp_path, 4), Olap(tmp_path / "olap.duckdb")
    table.append(batches([row("x", 2)]))
    olap.follow(table, "small")
    start = table.version
    table.compact()
    assert table.version > start
    assert olap.follow(table, "small") == Followed(0, 0, start, table.version)


CHANGE = st.one_of(
    st.tuples(
        st.just("replace"),
        st.integers(1, 2),
        st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 9), max_size=6),
    ),
    st.tuples(
        st.just("append"),
        st.integers(1, 2),
        st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 9), max_size=3),
    ),
    st.tuples(st.just("delete"), st.sampled_from("abcdefgh"), st.just(None)),
    st.tuples(st.just("compact"), st.just(None), st.just(None)),
    st.tuples(st.just("restore"), st.integers(0, 3), st.just(None)),
    st.tuples(st.just("follow"), st.just(None), st.just(None)),
)


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CHANGE, min_size=1, max_size=9))
def test_after_any_changes_and_follows_the_olap_equals_the_warehouse(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, Any, Any]]
) -> None:
    root = tmp_path_factory.mktemp("olap")
    table, olap = small(root), Olap(root / "olap.duckdb")
    olap.follow(table, "small")
    for kind, first, rows in changes:
        if kind == "replace":
            table.replace(batches([row(key, first, value) for key, value in rows.items()]), f"slot = {first}")
        elif kind == "append":
            fresh = {key: value for key, value in rows.items() if not table.count(f"id = '{key}'")}
            table.append(batches([row(key, first, value) for key, value in fresh.items()]))
        elif kind == "delete":
            table.delete(f"id = '{first}'")
        elif kind == "compact":
            table.compact()
        elif kind == "restore":
            # no version is removed here, so each one back can be made the latest
            table.at(max(1, table.version - first)).dataset.restore()
            table.refresh()
        else:
            olap.follow(table, "small")
            assert content(olap) == warehouse(table)
    olap.follow(table, "small")
    assert content(olap) == warehouse(table)
    assert olap.position("small").version == table.version
    assert olap.position("small").rows == table.count()


def test_a_subset_of_fields_can_be_chosen_and_a_changed_choice_loads_anew(tmp_path: Path) -> None:
    table, olap = small(tmp_path, 5), Olap(tmp_path / "olap.duckdb")
    olap.follow(table, "small", ["speed", "day"])
    assert olap.query("SELECT * FROM small").schema.names == [
        "id",
        "day",
        "speed",
        "_rowid",
        "_row_last_updated_at_version",
    ]
    assert olap.follow(table, "small", ["speed"]).from_version is None
    with pytest.raises(UnknownName, match="did you mean 'speed'"):
        olap.follow(table, "small", ["sped"])
    with pytest.raises(InputError, match="complex field"):
        olap.follow(table, "small", ["complex"])


def test_another_dataset_at_the_same_place_is_loaded_in_full(tmp_path: Path) -> None:
    table, olap = small(tmp_path, 5), Olap(tmp_path / "olap.duckdb")
    olap.follow(table, "small")
    Catalog(tmp_path).drop(NAME)
    table = small(tmp_path)
    for i in range(4):
        table.append(batches([row(f"n{i}", 1, i)]))
    assert olap.follow(table, "small").from_version is None
    assert content(olap) == warehouse(table)


def test_a_lost_olap_is_rebuilt_equal_and_a_broken_one_says_so(tmp_path: Path) -> None:
    table, olap = small(tmp_path, 9), Olap(tmp_path / "olap.duckdb")
    with pytest.raises(InputError, match="no OLAP"):
        olap.query("SELECT 1")
    olap.follow(table, "small")
    before = content(olap)
    olap.path.unlink()
    assert olap.rebuild({"small": (table, None)})["small"].upserted == 9
    assert content(olap) == before
    olap.path.write_bytes(b"no database" * 1000)
    with pytest.raises(Corrupt, match="rebuild"):
        olap.follow(table, "small")
    olap.rebuild({"small": (table, None)})
    assert content(olap) == before


def test_several_tables_are_published_together_and_stay_apart(tmp_path: Path) -> None:
    one, two, olap = small(tmp_path / "1", 3), small(tmp_path / "2", 4), Olap(tmp_path / "olap.duckdb")
    done = olap.follow_all({"one": (one, None), "two": (two, ["speed"])})
    assert [done["one"].upserted, done["two"].upserted] == [3, 4]
    two.delete("id = 'r0'")
    assert olap.follow(two, "two").deleted == 0  # other fields: loaded anew
    assert content(olap, "one") == warehouse(one) and content(olap, "two") == warehouse(two)


def test_an_open_reader_keeps_its_rows_while_a_follow_publishes_and_the_next_reader_sees_the_new(
    tmp_path: Path,
) -> None:
    table, olap = small(tmp_path, 5), Olap(tmp_path / "olap.duckdb")
    olap.follow(table, "small")
    with olap.read() as old:
        table.append(batches([row("x", 2)]))
        olap.follow(table, "small")
        assert old.query("SELECT count(*) AS n FROM small").column("n").to_pylist() == [5]
        assert olap.query("SELECT count(*) AS n FROM small").column("n").to_pylist() == [6]


def test_a_second_writer_is_told_that_the_olap_is_busy(tmp_path: Path) -> None:
    table, olap = small(tmp_path, 5), Olap(tmp_path / "olap.duckdb")
    with held(tmp_path / ".olap.duckdb.lock", "it"), pytest.raises(Busy):
        olap.follow(table, "small")


@pytest.mark.parametrize("step", STEPS)
def test_a_follow_killed_at_any_step_leaves_a_whole_file_and_the_next_one_brings_level(
    tmp_path: Path, step: str
) -> None:
    table, olap = small(tmp_path, 8), Olap(tmp_path / "olap.duckdb")
    olap.follow(table, "small")
    old = content(olap)
    table.append(batches([row("x", 2)]))
    table.delete("id = 'r0'")
    assert killed_at(follow_until, str(tmp_path), step) == -9
    assert content(olap) == (warehouse(table) if step == "published" else old)
    olap.follow(table, "small")
    assert content(olap) == warehouse(table)
    assert sorted(p.name for p in tmp_path.glob("olap*")) == ["olap.duckdb"]


def test_a_first_follow_killed_midway_leaves_no_olap_and_the_next_one_loads(tmp_path: Path) -> None:
    table, olap = small(tmp_path, 8), Olap(tmp_path / "olap.duckdb")
    assert killed_at(follow_until, str(tmp_path), "committed") == -9
    assert not olap.path.exists()
    assert olap.follow(table, "small").upserted == 8


def test_a_disk_that_fills_up_leaves_the_olap_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, olap = small(tmp_path, 8), Olap(tmp_path / "olap.duckdb")
    olap.follow(table, "small")
    old = content(olap)
    table.append(batches([row("x", 2)]))

    def full(*_: object) -> None:
        raise duckdb.IOException("IO Error: Could not write file: No space left on device")

    with monkeypatch.context() as patched, pytest.raises(IsthmusError, match="No space left"):
        patched.setattr("isthmus.warehouse.position.write", full)
        olap.follow(table, "small")
    assert content(olap) == old and not olap.path.with_name("olap.duckdb.next").exists()
    olap.follow(table, "small")
    assert content(olap) == warehouse(table)


@pytest.mark.parametrize("sharing", [True, False])
def test_a_copy_that_finds_no_room_gives_its_space_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sharing: bool
) -> None:
    table, olap = small(tmp_path, 8), Olap(tmp_path / "olap.duckdb")
    olap.follow(table, "small")
    table.append(batches([row("x", 2)]))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr("isthmus.warehouse.olap.os.copy_file_range", full if sharing else lambda *_: 0)
        patched.setattr("isthmus.warehouse.olap.shutil.copyfileobj", full)
        olap.follow(table, "small")
    assert not olap.path.with_name("olap.duckdb.next").exists()
    with monkeypatch.context() as patched:  # a file system that shares nothing and says so by 0
        patched.setattr("isthmus.warehouse.olap.os.copy_file_range", lambda *_: 0)
        olap.follow(table, "small")
    assert content(olap) == warehouse(table)


REFUSED = [
    "",
    "SELECT 1; SELECT 2",
    "INSERT INTO small VALUES (1)",
    "UPDATE small SET speed = 1",
    "DELETE FROM small",
    "DROP TABLE small",
    "CREATE TABLE x (a INT)",
    "CREATE TEMP TABLE x AS SELECT 1",
    "COPY small TO '/tmp/x.csv'",
    "EXPORT DATABASE '/tmp/x'",
    "ATTACH '/tmp/x.duckdb'",
    "SET threads = 1",
    "PRAGMA threads = 1",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CHECKPOINT",
    "CALL pragma_version()",
    "EXPLAIN ANALYZE DELETE FROM small",
    "EXPLAIN ANALYZE CREATE TEMP TABLE y AS SELECT 1",
    "PREPARE p AS SELECT 1",
    "BEGIN",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT speed FROM small WHERE",
    "SELECT 'x'::INT FROM small",
]


@pytest.fixture(scope="module")
def olap(tmp_path_factory: pytest.TempPathFactory) -> Olap:
    root = tmp_path_factory.mktemp("asked")
    olap = Olap(root / "olap.duckdb")
    olap.follow(small(root, 8), "small")
    return olap


@pytest.mark.parametrize("sql", REFUSED)
def test_anything_but_one_plain_read_is_refused_in_one_line(olap: Olap, sql: str) -> None:
    before = olap.path.read_bytes()
    with pytest.raises(QueryRefused) as caught:
        olap.query(sql)
    assert "\n" not in str(caught.value) and str(caught.value)
    assert olap.path.read_bytes() == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS a",
        "FROM small",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
        "DESCRIBE small",
        "SHOW TABLES",
        "SUMMARIZE small",
        "EXPLAIN SELECT * FROM small",
        "EXPLAIN ANALYZE SELECT * FROM small",
        "VALUES (1)",
    ],
)
def test_plain_reads_are_answered(olap: Olap, sql: str) -> None:
    assert olap.query(sql).num_rows >= 1


def test_the_nearest_table_and_column_are_named(olap: Olap) -> None:
    with pytest.raises(QueryRefused, match='did you mean "speed"'):
        olap.query("SELECT sped FROM small")
    with pytest.raises(QueryRefused, match='did you mean "small"'):
        olap.query("SELECT * FROM smal")


def test_parameters_limit_and_streaming(olap: Olap) -> None:
    assert (
        olap.query("SELECT id FROM small WHERE slot = ? AND day = ?", [1, DAY + datetime.timedelta(1)]).num_rows
        == 8
    )
    assert olap.query("SELECT id FROM small WHERE id > $low", {"low": "r5"}).num_rows == 2
    assert olap.query("SELECT id FROM small ORDER BY id DESC", limit=2).to_pylist() == [{"id": "r7"}, {"id": "r6"}]
    assert sum(b.num_rows for b in olap.stream("SELECT * FROM range(100000)", batch_rows=1000)) == 100000
    with pytest.raises(QueryRefused):
        list(olap.stream("SELECT nothing FROM small"))


def test_the_internal_table_is_not_listed(olap: Olap) -> None:
    assert [r["name"] for r in olap.query("SHOW TABLES").to_pylist()] == ["small"]


def test_a_path_with_odd_letters_works(tmp_path: Path) -> None:
    root = tmp_path / "it's a b%"
    root.mkdir()
    olap = Olap(root / "o'lap.duckdb")
    olap.follow(small(root, 2), "small")
    assert len(content(olap)) == 2
    shutil.rmtree(root)
    assert not root.exists()
