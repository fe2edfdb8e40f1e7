"""Two histories of a table that parted: where, and what the one site had alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from blake3 import blake3

from isthmus.recovery.fork import aside, common_version, keep_aside, parted, versions
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import local_path
from isthmus.warehouse.schema import Field, FieldType, Schema

NAME = TableName("main", "loop", "things")
SCHEMA = Schema((Field("name", FieldType.STRING), Field("size", FieldType.INT)), "name")


def add(catalog: Catalog, *names: str) -> None:
    catalog.open(NAME).append([pa.RecordBatch.from_pylist([{"name": name, "size": 1} for name in names])])


def folder(catalog: Catalog) -> Path:
    found = local_path(catalog.uri(NAME))
    assert found is not None
    return found


def manifests(catalog: Catalog) -> set[bytes]:
    return {blake3(path.read_bytes()).digest() for path in versions(folder(catalog)).values()}


@pytest.fixture
def two(tmp_path: Path) -> tuple[Catalog, Catalog]:
    """A table that is the same at both sites, then was written at each: once here, twice there."""
    mine = Catalog(tmp_path / "mine")
    mine.create(NAME, SCHEMA)
    add(mine, "a", "b")
    shutil.copytree(tmp_path / "mine", tmp_path / "theirs")
    theirs = Catalog(tmp_path / "theirs")
    add(mine, "only here")
    add(theirs, "only there")
    add(theirs, "there again")
    return mine, theirs


def test_the_fork_is_the_last_version_of_which_both_have_the_manifest(two: tuple[Catalog, Catalog]) -> None:
    mine, theirs = two
    assert max(versions(folder(mine))) == 3 and max(versions(folder(theirs))) == 4
    assert common_version(folder(mine), manifests(theirs)) == 2
    assert common_version(folder(theirs), manifests(mine)) == 2
    assert common_version(folder(mine), {b"x" * 32}) == 0


def test_a_table_that_only_fell_behind_has_nothing_alone(two: tuple[Catalog, Catalog]) -> None:
    mine, theirs = two
    assert [(one.name, one.common, one.latest) for one in parted(mine, [NAME], manifests(theirs))] == [
        (NAME, 2, 3)
    ]
    assert list(parted(theirs, [NAME], manifests(theirs))) == []


def test_what_was_kept_aside_stays_whatever_becomes_of_the_table(two: tuple[Catalog, Catalog]) -> None:
    mine, theirs = two
    kept = keep_aside(mine, NAME, "20261122_040000")
    assert str(kept) == "main.quarantine.loop_things_20261122_040000"
    shutil.rmtree(folder(mine))
    shutil.copytree(folder(theirs), folder(mine))
    assert {row["name"] for row in rows(mine, kept)} == {"a", "b", "only here"}
    assert {row["name"] for row in rows(mine, NAME)} == {"a", "b", "only there", "there again"}
    assert kept in mine.names()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["failback linked", "failback kept"])
def test_keeping_aside_that_was_cut_short_is_finished_by_the_next(two: tuple[Catalog, Catalog], step: str) -> None:
    mine, _ = two

    def kill(at: str) -> None:
        if at == step:
            raise Killed

    with pytest.raises(Killed):
        keep_aside(mine, NAME, "20261122_040000", kill)
    there = local_path(mine.uri(aside(NAME, "20261122_040000")))
    assert there is not None and bool(versions(there)) == (step == "failback kept"), "none is half there"
    kept = keep_aside(mine, NAME, "20261122_040000")
    assert len(rows(mine, kept)) == 3


def test_a_long_name_is_cut_and_stays_a_name() -> None:
    name = TableName("main", "s" * 40, "t" * 40)
    assert len(aside(name, "20261122_040000").table) == 63


def rows(catalog: Catalog, name: TableName) -> list[dict[str, object]]:
    return [row for batch in catalog.open(name).scan(["name"]) for row in batch.to_pylist()]
