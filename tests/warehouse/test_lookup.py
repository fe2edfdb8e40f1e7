from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import InputError, UnknownName
from isthmus.warehouse import lookup
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.idlist import IdList
from isthmus.warehouse.plan import ALWAYS_TAKE, Plan, choose
from isthmus.warehouse.table import Table
from warehouse_rows import NAME, batches, row, small

PLANS = pytest.mark.parametrize("plan", [None, *Plan])


def listed(table: Table, keys: list[str]) -> IdList:
    at = {r["id"]: r["_rowid"] for b in table.scan(["id", "_rowid"]) for r in b.to_pylist()}
    rows = pa.table({"id": keys, "_rowid": pa.array([at[key] for key in keys], pa.uint64())})
    return IdList.of(rows, table.uri, table.identity, table.version)


def taken(table: Table, ids: object, plan: Plan | None = None, **options: object) -> dict[str, bytes]:
    found = [r for b in lookup.take(table, ids, ["complex"], plan=plan, **options) for r in b.to_pylist()]  # type: ignore[arg-type]
    assert len({r["id"] for r in found}) == len(found)
    return {r["id"]: r["complex"] for r in found}


def expected(keys: list[str]) -> dict[str, bytes]:
    return {key: row(key, 1, int(key[1:]))["complex"] for key in keys}


@PLANS
@pytest.mark.parametrize("keys", [[], ["r7"], ["r19", "r0", "r4"], [f"r{i}" for i in range(20)]])
def test_exactly_the_asked_rows_come_by_list_and_by_key(
    tmp_path: Path, plan: Plan | None, keys: list[str]
) -> None:
    table = small(tmp_path, 20)
    assert taken(table, listed(table, keys), plan) == expected(keys)
    assert taken(table, keys, plan) == expected(keys)
    assert taken(table, pa.chunked_array([pa.array(keys, pa.string())]), plan) == expected(keys)


@PLANS
def test_deleted_rows_are_told_and_never_left_out_in_silence(tmp_path: Path, plan: Plan | None) -> None:
    table = small(tmp_path, 20)
    ids = listed(table, ["r1", "r2", "r3"])
    table.delete("id in ('r1', 'r3')")
    with pytest.raises(InputError, match="2 of 3 rows are no longer in"):
        taken(table, ids, plan)
    gone: list[str] = []
    assert taken(table, ids, plan, missing=gone.extend) == expected(["r2"])
    assert sorted(gone) == ["r1", "r3"]


@PLANS
def test_rows_that_were_deleted_and_put_in_anew_are_found_by_key(tmp_path: Path, plan: Plan | None) -> None:
    table = small(tmp_path, 20)
    ids = listed(table, ["r1", "r2"])
    table.delete("id = 'r1'")
    table.append(batches([row("r1", 1, 1)]))
    assert taken(table, ids, plan) == expected(["r1", "r2"])


@PLANS
def test_updates_and_compaction_keep_a_list_good(tmp_path: Path, plan: Plan | None) -> None:
    table = small(tmp_path, 6)
    ids = listed(table, ["r1", "r4"])
    table.replace(batches([row(f"r{i}", 1, i + 10) for i in range(6)]), "slot = 1")
    table.compact()
    assert taken(table, ids, plan) == {key: row(key, 1, int(key[1:]) + 10)["complex"] for key in ("r1", "r4")}


@PLANS
def test_row_ids_of_another_table_at_the_same_place_are_not_believed(tmp_path: Path, plan: Plan | None) -> None:
    table = small(tmp_path, 6)
    ids = listed(table, ["r1", "r4"])
    Catalog(tmp_path).drop(NAME)
    table = small(tmp_path)
    table.append(batches([row(f"r{i}", 1, i) for i in (4, 9, 1)]))
    assert taken(table, ids, plan) == expected(["r1", "r4"])


@PLANS
def test_a_wrong_row_id_never_brings_the_row_of_another_key(tmp_path: Path, plan: Plan | None) -> None:
    table = small(tmp_path, 6)
    right = listed(table, ["r1", "r4"])
    swapped = pa.table({"id": ["r4", "r1"], "_rowid": right.row_ids})
    wrong = IdList.of(swapped, table.uri, table.identity, table.version)
    assert taken(table, wrong, plan) == expected(["r1", "r4"])


def test_a_key_asked_for_twice_and_an_unknown_column_are_refused(tmp_path: Path) -> None:
    table = small(tmp_path, 3)
    with pytest.raises(InputError, match="twice"):
        lookup.take(table, ["r1", "r1"])
    with pytest.raises(UnknownName, match="did you mean 'complex'"):
        lookup.take(table, ["r1"], ["complx"])


@PLANS
def test_batches_stay_small(tmp_path: Path, plan: Plan | None) -> None:
    table = small(tmp_path, 30)
    ids = listed(table, [f"r{i}" for i in range(30)])
    assert all(batch.num_rows <= 7 for batch in lookup.take(table, ids, batch_rows=7, plan=plan))


@given(st.integers(0, 10**7), st.integers(1, 10**7), st.booleans())
def test_the_plan_depends_on_the_fraction_alone_and_is_monotone(asked: int, rows: int, local: bool) -> None:
    if choose(asked, rows, local=local) is Plan.SCAN:
        assert choose(asked + 1, rows, local=local) is Plan.SCAN
        assert asked > ALWAYS_TAKE
        assert choose(asked * 3, rows * 3, local=local) is Plan.SCAN


@pytest.mark.parametrize(
    ("asked", "local", "plan"),
    [
        (1_000, True, Plan.TAKE),
        (10_000, True, Plan.TAKE),
        (100_000, True, Plan.JOINED),
        (300_000, True, Plan.JOINED),
        (700_000, True, Plan.JOINED),
        (1_000_000, True, Plan.SCAN),
        (300_000, False, Plan.SCAN),
        (1_000, False, Plan.TAKE),
    ],
)
def test_short_lists_are_taken_and_long_ones_scanned(asked: int, local: bool, plan: Plan) -> None:
    assert choose(asked, 1_000_000, local=local) is plan
