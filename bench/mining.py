"""Mining-like queries over 10 million rows of a scene's simple fields, and how fast the OLAP is loaded."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from bench.figure import Figure, median_s, scratch, show
from isthmus.loop.fields import SCENES
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.olap import Olap
from isthmus.warehouse.schema import FieldType, Schema

ROWS = 10_000_000
SIMPLE = Schema(SCENES.simple, SCENES.key)
NAME = TableName("bench", "drive", "scenes")

QUERIES = {
    "hard brake": "SELECT scene_id, _rowid FROM scenes WHERE accel_min < -3.5",
    "cut-in": (
        "SELECT scene_id, _rowid FROM scenes WHERE cut_ins > 0 AND cut_in_gap_m < 5 AND day >= DATE '2026-11-10'"
    ),
    "low time to collision, not dense": (
        "SELECT scene_id, _rowid FROM scenes "
        "WHERE ttc_min_s < 1.5 AND NOT (density >= 9) AND list_contains(tags, 'rain')"
    ),
    "stop-and-go or high speed": (
        "SELECT scene_id, _rowid FROM scenes WHERE (stops >= 3 AND starts >= 3) OR speed_max > 39"
    ),
    "statistics by day and source": (
        "SELECT day, source, count(*), avg(speed_mean), min(ttc_min_s), max(lane_changes) FROM scenes GROUP BY ALL"
    ),
    "the 100 hardest brakes of a source": (
        "SELECT scene_id, accel_min FROM scenes WHERE source = 'source3' ORDER BY accel_min LIMIT 100"
    ),
}


def run(scale: float = 1.0) -> list[Figure]:
    rows = max(10_000, int(ROWS * scale))
    with scratch("mining") as folder:
        table = Catalog(folder).create(NAME, SIMPLE)
        table.append(_scenes(rows))
        olap = Olap(folder / "olap.duckdb")
        start = time.perf_counter()
        olap.follow(table, "scenes")
        loaded = time.perf_counter() - start
        figures = [Figure(f"OLAP load of {rows:,} rows, all simple fields", rows / loaded, "rows/s")]
        start = time.perf_counter()
        table.delete("scene_id < 's000000100'")
        olap.follow(table, "scenes")
        figures.append(Figure("OLAP follow of 100 deleted rows", time.perf_counter() - start, "s"))
        for name, sql in QUERIES.items():
            taken = median_s(lambda sql=sql: olap.query(sql))  # type: ignore[misc]
            found = olap.query(sql).num_rows
            label = f"{name} ({found:,} of {rows:,})"
            figures.append(Figure(label, taken, "s", goal="under 1 s", holds=taken < 1))
    return figures


def _scenes(rows: int, step: int = 50_000) -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(0)
    for start in range(0, rows, step):
        count = min(step, rows - start)
        columns = [_column(item.name, item.type, start, count, rng).cast(item.arrow()) for item in SIMPLE.fields]
        yield pa.RecordBatch.from_arrays(columns, names=list(SIMPLE.names))


def _column(name: str, kind: FieldType, start: int, count: int, rng: np.random.Generator) -> pa.Array:
    numbers = np.arange(start, start + count)
    if name == "scene_id":
        return pa.array([f"s{number:09d}" for number in numbers])
    if name == "day":
        first = datetime.date(2026, 11, 1).toordinal() - datetime.date(1970, 1, 1).toordinal()
        return pa.array((first + numbers * 30 // ROWS).astype(np.int32)).cast(pa.date32())
    if kind is FieldType.STRING:
        return pa.array([f"{name}{number}" for number in range(50)]).take(pa.array(rng.integers(0, 50, count)))
    if kind is FieldType.STRINGS:
        few = pa.array([["rain"], ["urban", "night"], [], ["highway"], ["rain", "highway"]])
        return few.take(pa.array(rng.integers(0, 5, count)))
    if kind is FieldType.INT:
        return pa.array(rng.poisson(0.8, count))
    if kind is FieldType.FLOATS:
        values = pa.array(rng.normal(15, 5, count * 5).astype(np.float32))
        return pa.ListArray.from_arrays(pa.array(np.arange(0, count * 5 + 1, 5, dtype=np.int32)), values)
    if kind is FieldType.VECTOR:
        return pa.FixedSizeListArray.from_arrays(pa.array(rng.random(count * 32, dtype=np.float32)), 32)
    means = {"accel_min": -1.5, "speed_max": 25.0, "ttc_min_s": 8.0, "cut_in_gap_m": 15.0, "density": 6.0}
    values = rng.normal(means.get(name, 5.0), 0.3 * abs(means.get(name, 5.0)) + 0.5, count)
    nulls = rng.random(count) < (0.3 if name in ("ttc_min_s", "cut_in_gap_m", "gap_min_m") else 0.0)
    return pa.array(values, mask=nulls)


if __name__ == "__main__":
    show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
