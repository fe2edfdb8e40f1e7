from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from isthmus.loop.fields import SCENES, VECTOR_SIZE
from isthmus.loop.mining.lists import listed, without_rule
from isthmus.loop.mining.mine import mine
from isthmus.loop.mining.similar import similar
from isthmus.loop.mining.slices import slices
from isthmus.loop.mining.statistics import statistics
from isthmus.loop.rules.catalogue import Catalogue
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.idlist import IdList
from isthmus.warehouse.lookup import take
from isthmus.warehouse.name import TableName
from isthmus.warehouse.olap import Olap
from isthmus.warehouse.table import Table
from mining_scenes import scene

NAME = TableName.parse("fleet.loop.scenes")
NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)


def rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    said = dict.fromkeys(("job_type", "record_id", "leak_group", "ego_id"), "x")
    made = [
        scene(
            n,
            **said,
            cut_in_gap_m=None if n % 3 == 0 else float(n),
            tags=["urban"] if n % 2 else [],
            vector=rng.normal(size=VECTOR_SIZE).tolist(),
            complex=str(n).encode(),
        )
        for n in range(60)
    ]
    return [{name: row[name] for name in SCENES.names} for row in made]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = Catalog(tmp_path / "warehouse").create(NAME, SCENES)
    made.append(pa.Table.from_pylist(rows(), made.arrow).to_batches())
    return made


@pytest.fixture
def olap(tmp_path: Path, table: Table) -> Olap:
    made = Olap(tmp_path / "olap.duckdb")
    made.follow(table, "scenes")
    return made


def test_a_mined_list_is_written_with_its_origin_and_finds_its_scenes_again(
    tmp_path: Path, table: Table, olap: Olap, catalogue: Catalogue
) -> None:
    bound, where = catalogue.bind("cut_in", {"gap_m": 10}), catalogue.where("contains(tags, 'urban')")
    found = mine(olap, "scenes", bound, where, suppress=0.5, warehouse=str(NAME), version=0)
    assert found.ids["id"].to_pylist() == ["s001", "s005", "s007"]
    assert (found.uri, found.identity, found.version) == (table.uri, table.identity, table.version)
    listed(found, NOON).write(tmp_path / "list.parquet")
    said = json.loads((tmp_path / "list.json").read_text("utf-8"))
    assert (said["rule"], said["where"], said["count"]) == ("cut_in", "contains(tags, 'urban')", 3)
    assert said["parameters"] == {"cut_in.gap_m": 10.0, "near_duplicates_within": 0.5}
    assert (said["version"], said["created"]) == (table.version, "2026-11-20T12:00:00+00:00")
    taken = pa.Table.from_batches(take(table, IdList.read(tmp_path / "list.parquet"), ["complex"]))
    assert sorted(taken["complex"].to_pylist()) == [b"1", b"5", b"7"]


def test_a_list_that_no_rule_made_says_why(tmp_path: Path, table: Table, olap: Olap) -> None:
    chosen = olap.query("SELECT scene_id AS id, _rowid FROM scenes WHERE scene_id < 's003'")
    uri = without_rule(chosen, "test", str(NAME), table.version, NOON).write(tmp_path / "test.parquet")
    read = IdList.read(uri)
    assert (read.rule, sorted(read.ids.to_pylist())) == ("test", ["s000", "s001", "s002"])
    assert sum(batch.num_rows for batch in take(table, read, ["scene_id"])) == 3


def test_all_of_mining_asks_the_olap_of_a_real_warehouse(olap: Olap, catalogue: Catalogue) -> None:
    apart = mine(olap, "scenes", None, None, suppress=6.0, warehouse=str(NAME), version=0)
    assert 0 < apart.count == 60 - apart.suppressed < 60
    assert similar(olap, "scenes", "s007", 4).num_rows == 4
    assert slices(olap, ["s001", "s002"], catalogue, ["cut_in"])["s001"] == (
        "rule:cut_in",
        "tag:urban",
        "source:ngsim",
    )
    assert statistics(olap, "scenes", "tag", [catalogue.bind("cut_in")])["scenes"].to_pylist() == [30, 30]
