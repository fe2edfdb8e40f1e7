from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.recovery.barrier import Barrier, HeldFile
from isthmus.recovery.differences import (
    Difference,
    Missing,
    OtherFiles,
    OtherRows,
    OtherTable,
    TableSums,
    Unexpected,
    Unproven,
    Unreadable,
)
from isthmus.recovery.verify import compare, joined, promised, sums_of, undecided
from isthmus.warehouse.checksum import RowSum, table_sum
from isthmus.warehouse.table import Table
from recovery_folders import barrier_of, two_tables
from warehouse_rows import batches, row

FIRST, SECOND = "loop.drive.first", "loop.other.second"


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return two_tables(tmp_path_factory.mktemp("verify") / "primary")


@pytest.fixture
def sites(
    primary: dict[str, Table], tmp_path: Path
) -> tuple[dict[str, Table], Barrier, dict[str, Path], dict[str, Path]]:
    """Tables, their barrier, and the folders of both sites, which are equal to the byte."""
    barrier, folders = barrier_of(primary)
    copies = {identity: tmp_path / "standby" / place.name for identity, place in folders.items()}
    for identity, place in copies.items():
        shutil.copytree(folders[identity], place)
    return primary, barrier, folders, copies


Sites = tuple[dict[str, Table], Barrier, dict[str, Path], dict[str, Path]]


def test_equal_sites_are_proven_by_files_alone_and_by_rows_alone(sites: Sites) -> None:
    tables, barrier, folders, copies = sites
    by_files = [sums_of(barrier, side, decode=()) for side in (folders, copies)]
    assert all(sums.rows is None for side in by_files for sums in side.values())
    assert compare(*by_files) == [] and undecided(*by_files) == frozenset()
    assert compare(promised(barrier), by_files[1]) == []
    by_rows = [sums_of(barrier, side, files=False) for side in (folders, copies)]
    assert compare(*by_rows) == [] and undecided(*by_rows) == {FIRST, SECOND}
    assert {name: sums.rows for name, sums in by_rows[1].items()} == {
        name: table_sum(table) for name, table in tables.items()
    }


def test_what_is_written_meanwhile_makes_no_difference(sites: Sites) -> None:
    _, barrier, folders, copies = sites
    place = copies[next(identity for identity, table in barrier.tables.items() if table.name == FIRST)]
    Table(place.as_uri()).append(batches([row("later", 5, 5)]))
    Table(place.as_uri()).compact()
    assert compare(sums_of(barrier, folders), sums_of(barrier, copies)) == []


def test_files_that_differ_with_equal_rows_and_rows_that_differ_are_told_apart(
    sites: Sites, tmp_path: Path
) -> None:
    tables, barrier, folders, _ = sites
    identity = tables[FIRST].identity
    place = tmp_path / "rewritten.lance"
    shutil.copytree(folders[identity], place)
    compacted = Table(place.as_uri())
    compacted.compact()
    other, places = barrier_of({FIRST: compacted, SECOND: tables[SECOND]})
    expected, found = sums_of(barrier, folders, decode=()), sums_of(other, places, decode=())
    assert [type(one) for one in compare(expected, found)] == [OtherTable]
    # two sites whose histories parted can have equal rows under one version
    found = {**found, FIRST: replace(found[FIRST], version=expected[FIRST].version)}
    assert undecided(expected, found) == {FIRST}
    assert [type(one) for one in compare(expected, found)] == [OtherFiles]
    mine = joined(expected, sums_of(barrier, folders, files=False, decode={FIRST}))
    others = {FIRST: replace(found[FIRST], rows=table_sum(compacted)), SECOND: found[SECOND]}
    (difference,) = compare(mine, others)
    assert type(difference) is OtherFiles and difference.expected and difference.expected.files
    assert all(file not in others[FIRST].files for file in difference.expected.files)  # type: ignore[operator]
    compacted.replace(batches([row("r9", 1, 91)]), "id = 'r9'")
    others[FIRST] = replace(others[FIRST], rows=table_sum(compacted))
    (difference,) = compare(mine, others)
    assert type(difference) is OtherRows and "50:" not in str(difference).split("found")[0][:5]
    assert str(table_sum(compacted)) in str(difference)


def test_a_flipped_bit_a_missing_file_and_an_unreadable_one_are_found_without_the_other_side(
    sites: Sites,
) -> None:
    tables, barrier, _, copies = sites
    first, second = tables[FIRST].identity, tables[SECOND].identity
    data = next(path for path in barrier.files[first] if path.startswith("data/"))
    content = bytearray((copies[first] / data).read_bytes())
    content[len(content) // 2] ^= 1
    (copies[first] / data).write_bytes(content)
    (copies[second] / barrier.tables[second].manifest).unlink()
    differences = compare(promised(barrier), sums_of(barrier, copies, decode=()))
    assert [(type(one), one.name) for one in differences] == [(OtherFiles, FIRST), (OtherFiles, SECOND)]
    assert data in str(differences[0]) and barrier.tables[second].manifest in str(differences[1])
    assert differences[0].expected and differences[0].expected.files == (barrier.files[first][data],)
    (unreadable,) = [
        one for one in compare(promised(barrier), sums_of(barrier, copies, decode={SECOND})) if one.name == SECOND
    ]
    assert type(unreadable) is Unreadable and "cannot be read at version" in str(unreadable)


def test_another_table_in_the_folder_or_none_is_not_readable(sites: Sites) -> None:
    tables, barrier, folders, _ = sites
    first, second = tables[FIRST].identity, tables[SECOND].identity
    swapped = sums_of(barrier, {first: folders[second]}, files=False)
    assert "is not the table loop.drive.first but another" in swapped[FIRST].error
    assert swapped[SECOND].error == "no folder is known for it"
    both = compare(sums_of(barrier, folders, files=False), swapped)
    assert [type(one) for one in both] == [Unreadable, Unreadable]


def test_each_kind_of_difference_carries_both_sides() -> None:
    mine = TableSums("a.b.c", "0" * 32, 3)
    rows, files = RowSum(1, (2, 3)), (HeldFile("data/x", 1, bytes(32)),)
    other_file = (HeldFile("data/x", 1, bytes(31) + b"\1"),)
    cases: list[tuple[TableSums | None, TableSums | None, type[Difference] | None]] = [
        (mine, None, Missing),
        (None, mine, Unexpected),
        (mine, replace(mine, version=4), OtherTable),
        (mine, replace(mine, identity="1" * 32), OtherTable),
        (replace(mine, error="gone"), mine, Unreadable),
        (replace(mine, rows=rows), replace(mine, rows=RowSum(1, (2, 4))), OtherRows),
        (replace(mine, rows=rows), replace(mine, rows=RowSum(2, (2, 3))), OtherRows),
        (replace(mine, rows=rows), replace(mine, rows=replace(rows, definition=1)), Unproven),
        (replace(mine, rows=rows), replace(mine, rows=RowSum(2, (2, 3), 1)), OtherRows),
        (replace(mine, rows=rows, files=files), replace(mine, rows=rows, files=other_file), OtherFiles),
        (replace(mine, files=files), replace(mine, files=()), OtherFiles),
        (mine, mine, Unproven),
        (replace(mine, files=files), replace(mine, rows=rows), Unproven),
        (replace(mine, rows=rows), replace(mine, rows=rows), None),
        (replace(mine, files=files), replace(mine, files=files), None),
        (replace(mine, files=(), rows=RowSum()), replace(mine, files=(), rows=RowSum()), None),
    ]
    for expected, found, kind in cases:
        sides = [{side.name: side} if side else {} for side in (expected, found)]
        differences = compare(*sides)
        assert [type(one) for one in differences] == ([kind] if kind else [])
        for one in differences:
            assert (one.expected is None, one.found is None) == (expected is None, found is None)
            assert one.name == "a.b.c" and str(one).startswith(f"a.b.c: {one.WHAT}")
            assert Difference.of_json(json.loads(json.dumps(one.to_json()))) == one


SUMS = st.builds(
    TableSums,
    st.sampled_from(["a.b.c", "a.b.d", "a.b.e"]),
    st.sampled_from(["0" * 32, "f" * 32]),
    st.integers(1, 3),
    st.none() | st.builds(RowSum, st.integers(0, 3), st.tuples(st.integers(0, 2**64 - 1), st.just(0))),
    st.none()
    | st.lists(
        st.builds(HeldFile, st.just("data/x"), st.integers(0, 2), st.binary(min_size=32, max_size=32)), max_size=2
    ).map(tuple),
    st.sampled_from(["", "gone"]),
)


@given(st.lists(SUMS, max_size=3), st.lists(SUMS, max_size=3))
def test_comparing_is_symmetric_sorted_and_silent_only_for_what_is_proven_equal(
    one: list[TableSums], other: list[TableSums]
) -> None:
    expected, found = ({sums.name: sums for sums in side} for side in (one, other))
    there, back = compare(expected, found), compare(found, expected)
    names = [difference.name for difference in there]
    assert names == sorted(set(names)) == [difference.name for difference in back]
    for name in expected.keys() | found.keys():
        if name in names:
            continue
        mine, others = expected[name], found[name]
        assert (mine.identity, mine.version) == (others.identity, others.version)
        assert (mine.rows and mine.rows == others.rows) or (mine.files is not None and mine.files == others.files)
    for sums in one:
        assert TableSums.of_json(json.loads(json.dumps(sums.to_json()))) == sums


def test_what_is_no_json_of_sums_or_differences_is_refused() -> None:
    good = TableSums("a.b.c", "0" * 32, 3, RowSum(), ())
    for wrong in ({}, {**good.to_json(), "rows": "x"}, {**good.to_json(), "files": [["../x", 1, "00"]]}):
        with pytest.raises(ValueError, match="no "):
            TableSums.of_json(wrong)
    missing = Missing(good, None).to_json()
    for wrong in (
        {},
        {**missing, "what": "new"},
        {**missing, "what": "other rows"},
        {**missing, "expected": None},
    ):
        with pytest.raises(ValueError, match="difference"):
            Difference.of_json(wrong)
