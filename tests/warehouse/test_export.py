from __future__ import annotations

import datetime
import json
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isthmus.core.errors import Corrupt, InputError
from isthmus.warehouse.digest import digest_of, written
from isthmus.warehouse.export import export, read_manifest, write_export
from isthmus.warehouse.idlist import IdList
from warehouse_rows import batches, row, small

ROWS = pa.table({"scene_id": ["a", "b"], "_rowid": pa.array([4, 9], pa.uint64())})


def listed() -> IdList:
    return IdList.of(
        ROWS,
        "file:///w/t.lance",
        "abc",
        7,
        rule="cut_in",
        parameters={"gap_m": 15.0},
        where="day >= '2026-11-01'",
        created=datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC),
    )


@pytest.mark.parametrize("where", ["local", "memory"])
def test_an_id_list_comes_back_with_everything_that_was_said(tmp_path: Path, where: str) -> None:
    uri = f"{tmp_path}/deep/er/list.parquet" if where == "local" else f"memory://lists{tmp_path}/list.parquet"
    place = listed().write(uri)
    assert IdList.read(uri) == IdList.read(place)
    found = IdList.read(uri)
    assert found.rows.equals(listed().rows)
    assert (found.rule, found.parameters, found.where, found.version, found.created, found.count) == (
        "cut_in",
        {"gap_m": 15.0},
        "day >= '2026-11-01'",
        7,
        datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC),
        2,
    )
    with fsspec.open(place.removesuffix("parquet") + "json") as file:
        said = json.load(file)
    assert said["rule"] == "cut_in" and said["count"] == 2 and said["version"] == 7


@pytest.mark.parametrize("at", [0, 10, -1])
def test_a_flipped_byte_in_an_id_list_is_corrupt(tmp_path: Path, at: int) -> None:
    listed().write(tmp_path / "list.parquet")
    content = bytearray((tmp_path / "list.parquet").read_bytes())
    content[at] ^= 1
    (tmp_path / "list.parquet").write_bytes(content)
    with pytest.raises(Corrupt, match="digest"):
        IdList.read(tmp_path / "list.parquet")


def test_a_list_without_its_json_is_not_there_and_a_broken_one_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        IdList.read(tmp_path / "list.parquet")
    listed().write(tmp_path / "list.parquet")
    (tmp_path / "list.json").write_text("{")
    with pytest.raises(Corrupt):
        IdList.read(tmp_path / "list.parquet")
    with pytest.raises(InputError, match=r"\.parquet"):
        listed().write(tmp_path / "list.csv")


def test_doubles_and_nulls_are_no_id_list() -> None:
    for rows in (
        {"id": ["a", "a"], "_rowid": [1, 2]},
        {"id": ["a", None], "_rowid": [1, 2]},
        {"id": ["a"], "_rowid": [-1]},
    ):
        with pytest.raises(InputError):
            IdList.of(pa.table(rows), "u", "i", 1)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError), written(tmp_path / "x") as sink:
        sink.write(b"half")
        raise InputError("the source broke")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["local", "memory"])
def test_an_export_holds_the_rows_and_its_manifest_their_digests(tmp_path: Path, where: str) -> None:
    table = small(tmp_path / "w", 30)
    uri = f"{tmp_path}/out" if where == "local" else f"memory://out{tmp_path}"
    manifest = write_export(export(table, None, ["complex"], batch_rows=4), uri, part_bytes=1000)
    assert manifest.rows == 30 and len(manifest.parts) > 1
    assert read_manifest(uri) == manifest
    found: dict[str, bytes] = {}
    for part in manifest.parts:
        with fsspec.open(f"{manifest.uri}/{part.name}") as file:
            content = file.read()
        assert (digest_of(content), len(content)) == (part.blake3, part.size)
        rows = pq.read_table(pa.BufferReader(content))
        assert rows.num_rows == part.rows
        found |= dict(enumerate(rows.column("complex").to_pylist(), len(found)))  # type: ignore[arg-type]
    assert sorted(found.values()) == sorted(row(f"r{i}", 1, i)["complex"] for i in range(30))


def test_an_export_of_a_list_holds_exactly_these(tmp_path: Path) -> None:
    table = small(tmp_path / "w", 30)
    at = next(iter(table.scan(["id", "_rowid"], "id in ('r3', 'r9')")))
    ids = IdList.of(at, table.uri, table.identity, table.version)
    manifest = write_export(export(table, ids), tmp_path / "out")
    found = pq.read_table(tmp_path / "out" / manifest.parts[0].name)
    assert sorted(found.column("id").to_pylist()) == ["r3", "r9"]
    assert found.schema.names == list(table.schema.names)


def test_an_unfinished_export_is_no_export_and_a_finished_one_is_not_written_over(tmp_path: Path) -> None:
    rows = list(batches([row("a", 1)]))

    def broken():  # type: ignore[no-untyped-def]
        yield rows[0]
        raise InputError("the source broke")

    with pytest.raises(InputError, match="broke"):
        write_export(broken(), tmp_path / "out", part_bytes=1)
    with pytest.raises(InputError, match="no file"):
        read_manifest(tmp_path / "out")
    assert write_export(rows, tmp_path / "out").rows == 1
    with pytest.raises(InputError, match="holds an export already"):
        write_export(rows, tmp_path / "out")
    assert write_export([], tmp_path / "none").parts == ()


def test_parts_of_a_longer_export_that_was_cut_short_do_not_stay_beside_a_finished_one(tmp_path: Path) -> None:
    def cut_short():  # type: ignore[no-untyped-def]
        for number in range(3):
            yield from batches([row(f"old{number}", 1)])
        raise InputError("the disk is full")

    with pytest.raises(InputError, match="full"):
        write_export(cut_short(), tmp_path / "out", part_bytes=1)
    assert len(list((tmp_path / "out").glob("*.parquet"))) > 1
    finished = write_export(batches([row("new", 1)]), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("*.parquet")] == [part.name for part in finished.parts]
