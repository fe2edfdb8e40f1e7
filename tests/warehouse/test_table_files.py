from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.core.errors import Corrupt, InputError
from isthmus.warehouse import alter, fence
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.files import HINT, TableFile, files_of, manifest_of, manifest_path
from isthmus.warehouse.schema import Field, FieldType
from isthmus.warehouse.table import Table
from warehouse_rows import NAME, batches, row, small


def copied(table: Table, to: Path) -> Table:
    """A copy of exactly the listed files at another place, opened there."""
    source = Path(table.uri.removeprefix("file://"))
    target = to / "loop/drive/small.lance"
    for file in files_of(table):
        (target / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file.path, target / file.path)
        assert (target / file.path).stat().st_size == file.size
    return Catalog(to).open(NAME)


def rows(table: Table) -> list[dict[str, Any]]:
    found = [item for batch in table.scan(with_row_id=True) for item in batch.to_pylist()]
    return sorted(found, key=lambda item: str(item["id"]))


def fitting(table: Table, *made: dict[str, Any]) -> list[pa.RecordBatch]:
    """Rows in the columns that the table has now."""
    arrow = pa.schema([pa.field(item.name, item.arrow()) for item in table.schema.fields])
    return [pa.RecordBatch.from_pylist(list(made), schema=arrow)]


def append(table: Table, number: int) -> None:
    table.append(fitting(table, *(row(f"a{number}-{i}", number, i) for i in range(4))))


def merge(table: Table, number: int) -> None:
    table.replace(fitting(table, row(f"r{number % 7}", 1, number)), f"id = 'r{number % 7}'")


def stirred(table: Table, number: int) -> None:
    """Compact and clean up, so that what is not named by the version is gone."""
    table.compact()
    table.cleanup(datetime.timedelta(0))


def column(table: Table, number: int) -> None:
    names = table.schema.names
    if "extra" not in names:
        alter.add_column(table, Field("extra", FieldType.INT))
    elif number % 2:
        alter.retype_column(table, "extra", FieldType.FLOAT if number % 3 else FieldType.STRING)
    else:
        alter.drop_column(table, "extra")


DEEDS: dict[str, Callable[[Table, int], object]] = {
    "append": append,
    "merge": merge,
    "delete": lambda table, n: table.delete(f"id = 'r{n % 7}'"),
    "index": lambda table, n: alter.create_index(table, ("slot", "id", "day")[n % 3]),
    "compact": stirred,
    "column": column,
}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(DEEDS)), min_size=1, max_size=6))
def test_the_listed_files_alone_make_the_table_elsewhere_after_any_change(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[str]
) -> None:
    table = small(tmp_path_factory.mktemp("primary"), 6)
    for number, deed in enumerate(deeds, 1):
        DEEDS[deed](table, number)
    copy = copied(table, tmp_path_factory.mktemp("copy"))
    assert copy.version == table.version and copy.schema == table.schema
    assert copy.arrow.equals(table.arrow, check_metadata=True) and copy.identity == table.identity
    assert rows(copy) == rows(table)
    assert alter.indexes(copy) == alter.indexes(table)
    assert copy.count("slot = 1") == table.count("slot = 1")


def test_every_kind_of_file_is_listed_and_a_copy_lives_on(tmp_path: Path) -> None:
    table = small(tmp_path / "primary", 6, rows_per_fragment=100)
    table.append(batches([row(f"b{i}", 2, i) for i in range(6)]))
    alter.create_index(table, "slot")
    merge(table, 3)
    table.delete("id = 'b1'")
    listed = files_of(table)
    assert {file.kind for file in listed} == {
        "manifest", "data file", "deletion file", "transaction file", "index file"
    }  # fmt: skip
    assert [file.path for file in listed if file.kind == "manifest"] == [manifest_of(table)]
    copy = copied(table, tmp_path / "copy")
    assert rows(copy) == rows(table)
    copy.replace(batches([row("r1", 1, 30)]), "id = 'r1'")
    copy.compact()
    assert copy.count() == table.count() and copy.count("slot = 2") == 5


def test_the_files_of_an_older_version_are_its_own_alone(tmp_path: Path) -> None:
    table = small(tmp_path / "primary", 6)
    old = table.at(table.version)
    before = files_of(old)
    table.append(batches([row("n", 2)]))
    table.delete("id = 'r1'")
    assert files_of(old) == before
    assert not {file.path for file in before} >= {file.path for file in files_of(table)}
    assert rows(copied(old, tmp_path / "copy")) == rows(old)


def test_of_a_replica_the_files_of_the_shown_version_are_listed(tmp_path: Path) -> None:
    table = small(tmp_path, 6)
    shown = files_of(table)
    table.append(batches([row("n", 2)]))
    state = fence.Fence("standby", 1, "north", tables={str(NAME): fence.Shown(table.version - 1, "00" * 32)})
    fence.write(tmp_path, state)
    assert files_of(Catalog(tmp_path).open(NAME)) == shown


def test_a_file_that_one_of_the_listed_lacks_makes_the_copy_unreadable_or_smaller(tmp_path: Path) -> None:
    """Nothing that is listed for the rows is listed for nothing."""
    table = small(tmp_path / "primary", 6)
    table.delete("id = 'r1'")
    for number, file in enumerate(files_of(table)):
        if file.kind == "transaction file":
            continue  # only a later commit asks for it
        copy = tmp_path / f"copy{number}"
        copied(table, copy)
        (copy / "loop/drive/small.lance" / file.path).unlink()
        with pytest.raises((ValueError, OSError, RuntimeError, InputError)):
            rows(Catalog(copy).open(NAME))


def test_a_table_under_a_root_with_odd_letters_is_listed(tmp_path: Path) -> None:
    table = small(tmp_path / "a b% ü#?", 3)
    assert [file.kind for file in files_of(table)].count("data file") == 1


def test_a_shallow_clone_is_refused(tmp_path: Path) -> None:
    table = small(tmp_path, 3)
    clone = tmp_path / "loop/drive/clone.lance"
    table.dataset.shallow_clone(str(clone), table.version)
    with pytest.raises(InputError, match=r"reads files that lie elsewhere.*shallow clone"):
        files_of(Table(clone.as_uri()))
    copied_rows = Table(clone.as_uri()).count()
    assert copied_rows == 3  # it looks like any other table, until the other one is dropped


def test_base_paths_elsewhere_are_refused_though_no_file_lies_there_yet(tmp_path: Path) -> None:
    table = small(tmp_path, 3)
    (tmp_path / "aside").mkdir()
    base = lance.DatasetBasePath(str(tmp_path / "aside"), name="aside", is_dataset_root=False, id=7)
    table.dataset.add_bases([base])
    table.refresh()
    with pytest.raises(InputError, match="aside"):
        files_of(table)


def test_a_table_with_a_branch_and_the_branch_itself_are_refused(tmp_path: Path) -> None:
    table = small(tmp_path, 3)
    branch = table.dataset.create_branch("side")
    with pytest.raises(InputError, match=r"has branches \(side\)"):
        files_of(table)
    with pytest.raises(InputError):
        files_of(Table(branch.uri))
    table.dataset.branches.delete("side")
    assert files_of(table)


def test_a_version_that_was_cleaned_up_and_a_missing_file_are_told(tmp_path: Path) -> None:
    table = small(tmp_path, 6)
    old = table.at(table.version)
    table.replace(batches([row("r1", 1, 9)]), "slot = 1")
    table.compact()
    table.cleanup(datetime.timedelta(0))
    for ask in (files_of, manifest_of):
        with pytest.raises(InputError, match="no version 2 any more"):
            ask(old)
    (file,) = [file for file in files_of(table) if file.kind == "data file"]
    (tmp_path / "loop/drive/small.lance" / file.path).unlink()
    with pytest.raises(Corrupt, match="lacks its data file data/"):
        files_of(table)


def test_a_broken_manifest_is_told_in_one_line(tmp_path: Path) -> None:
    table = small(tmp_path, 6)
    place = tmp_path / "loop/drive/small.lance" / manifest_of(table)
    place.write_bytes(b"LANC" * 10)
    with pytest.raises(Corrupt, match="cannot be listed") as caught:
        files_of(table)
    assert "\n" not in str(caught.value)


def test_values_order_by_path() -> None:
    assert TableFile("a", 9, "manifest") < TableFile("b", 1, "data file")


HINTS = ['{"version":2}', '{"version":99}', '{"version":0}', "garbage", "", None]


@pytest.mark.parametrize("hint", HINTS, ids=str)
@pytest.mark.parametrize("gap", [False, True], ids=["all versions", "a gap"])
def test_on_a_local_folder_the_version_hint_changes_nothing(tmp_path: Path, hint: str | None, gap: bool) -> None:
    place, latest = hinted(tmp_path, hint, gap)
    assert lance.dataset(place.as_uri()).version == latest
    assert Catalog(tmp_path).open(NAME).version == latest


@pytest.mark.parametrize("hint", HINTS, ids=str)
def test_on_an_object_store_a_hint_is_believed_up_to_the_first_missing_version(
    tmp_path: Path, hint: str | None
) -> None:
    place, latest = hinted(tmp_path, hint, gap=False)
    assert lance.dataset(f"file-object-store://{place}").version == latest
    (place / manifest_path(4)).unlink()
    stale = hint == '{"version":2}'
    assert lance.dataset(f"file-object-store://{place}").version == (3 if stale else latest)
    (place / HINT).write_text(f'{{"version":{latest}}}')
    assert lance.dataset(f"file-object-store://{place}").version == latest


@pytest.mark.parametrize(
    ("hint", "gap", "taken"),
    [(2, True, 4), (3, True, 4), (5, True, 6), (9, True, 6), (None, True, 6), (2, False, 6)],
)  # fmt: skip
def test_a_commit_on_an_older_version_hides_in_a_gap_only_where_the_hint_lies_below_it(
    tmp_path: Path, hint: int | None, gap: bool, taken: int
) -> None:
    place, latest = hinted(tmp_path, None if hint is None else f'{{"version":{hint}}}', gap)
    older = lance.dataset(place.as_uri(), version=3)
    older.delete("id = 'r0'")
    assert older.version == taken
    assert lance.dataset(place.as_uri()).version == max(taken, latest)


def hinted(root: Path, hint: str | None, gap: bool) -> tuple[Path, int]:
    """A table of versions 1 to 5, perhaps without 4, and its hint."""
    table = small(root, 3)
    for number in range(3):
        merge(table, number)
    place = root / "loop/drive/small.lance"
    assert (place / HINT).read_text() == '{"version":5}' and table.version == 5
    if gap:
        (place / manifest_path(4)).unlink()
    if hint is None:
        (place / HINT).unlink()
    else:
        (place / HINT).write_text(hint)
    return place, 5
