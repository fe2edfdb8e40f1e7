"""Sums of rows: a table of mixed columns, and one of 4 KB binaries, against DuckDB and pandas on the same rows.

DuckDB gives all free memory of the process back when it ends, so the sum after it begins with none, as in a new
process: a third of a second, which a table of 1 GB outweighs and one of 0.25 GB does not. Both are told.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from bench import wide
from bench.figure import Figure, medians_s, scratch, show
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.checksum import RowSum, row_sum, table_sum
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table

ROWS, BINARIES, FEW_BINARIES = 1_000_000, 250_000, 60_000
ROUNDS = 5
GOAL_ROWS, GOAL_BYTES = 1e6, 1e9
PEER = "DuckDB sum and xor of hash(…)"
NAME = TableName("bench", "sums", "mixed")
SCHEMA = Schema(
    (
        Field("id", FieldType.STRING, nullable=False),
        Field("slot", FieldType.INT),
        Field("count", FieldType.INT),
        Field("speed", FieldType.FLOAT),
        Field("gap", FieldType.FLOAT),
        Field("good", FieldType.BOOL),
        Field("kind", FieldType.STRING),
        Field("at", FieldType.TIMESTAMP),
        Field("day", FieldType.DATE),
        Field("tags", FieldType.INTS, nullable=False),
    ),
    "id",
)


def run(scale: float = 1.0) -> list[Figure]:
    return [
        *_mixed(max(10_000, int(ROWS * scale))),
        *_binaries(max(8_000, int(BINARIES * scale))),
        *_binaries(max(2_000, int(FEW_BINARIES * scale)))[:1],
    ]


def mixed(rows: int, step: int = 131_072) -> Iterator[pa.RecordBatch]:
    """Rows of ten columns, a tenth of the speeds NULL, lists of up to four numbers."""
    rng = np.random.default_rng(1)
    kinds = pa.array(["car", "lorry", "a longer word than that", ""])
    for start in range(0, rows, step):
        count = min(step, rows - start)
        lengths = np.concatenate([[0], np.cumsum(rng.integers(0, 5, count))]).astype(np.int32)
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([f"drive.20261120.{number}" for number in range(start, start + count)]),
                pa.array(rng.integers(0, 1 << 40, count)),
                pa.array(rng.integers(0, 1000, count)),
                pa.array(rng.normal(size=count), mask=rng.random(count) < 0.1),
                pa.array(rng.normal(size=count)),
                pa.array(rng.random(count) < 0.5),
                kinds.take(pa.array(rng.integers(0, 4, count))),
                pa.array(rng.integers(0, 1 << 50, count)).cast(pa.timestamp("us", "UTC")),
                pa.array(rng.integers(0, 20_000, count).astype(np.int32)).cast(pa.date32()),
                pa.ListArray.from_arrays(lengths, rng.integers(0, 100, lengths[-1])),
            ],
            names=list(SCHEMA.names),
        )


def _mixed(rows: int) -> list[Figure]:
    with scratch("checksum") as folder:
        batches = list(mixed(rows))
        table = _stored(folder, NAME, SCHEMA, batches)
        whole = pa.Table.from_batches(batches)
        works = _works(table, batches, whole)
        pandas = _pandas(whole.drop_columns(["tags"]))
        if pandas is not None:
            works["pandas"] = pandas
        times = medians_s(works, ROUNDS, seed=3)
    return [
        _figure("sum of a table, 10 mixed columns", rows, times, "table", "rows/s", GOAL_ROWS),
        _figure("  of the same rows in memory, one thread", rows, times, "memory", "rows/s", GOAL_ROWS),
        *(
            [Figure("  pandas' hash of rows, without the lists", rows / times["pandas"], "rows/s")]
            if "pandas" in times
            else []
        ),
    ]


def _binaries(rows: int) -> list[Figure]:
    size = rows * wide.VALUE_BYTES
    with scratch("checksum") as folder:
        batches = list(wide.wide(rows))
        table = _stored(folder, wide.NAME, wide.SCHEMA, batches)
        times = medians_s(_works(table, batches, pa.Table.from_batches(batches)), ROUNDS, seed=4)
    return [
        _figure(f"sum of a table of {rows:,} binaries of 4 KB", size, times, "table", "B/s", GOAL_BYTES),
        _figure("  of the same rows in memory, one thread", size, times, "memory", "B/s", GOAL_BYTES),
        Figure("  the same table read, and nothing summed", size / times["reading"], "B/s"),
    ]


def _stored(folder: Path, name: TableName, schema: Schema, batches: list[pa.RecordBatch]) -> Table:
    table = Catalog(folder).create(name, schema, compression="none", rows_per_fragment=131_072)
    table.append(iter(batches))
    return table


def _works(table: Table, batches: list[pa.RecordBatch], whole: pa.Table) -> dict[str, Callable[[], object]]:
    expected = sum(map(row_sum, batches), RowSum())
    assert table_sum(table) == expected
    return {
        "table": lambda: table_sum(table),
        "memory": lambda: sum(map(row_sum, batches), RowSum()),
        "reading": lambda: sum(batch.num_rows for batch in table.scan()),
        "peer": functools.partial(_duckdb, whole),
    }


def _duckdb(whole: pa.Table) -> None:
    """Two lanes of 64 bits and the count, as far as DuckDB's own hash goes; all cores."""
    with duckdb.connect() as connection:
        connection.register("rows", whole)
        columns = ", ".join(f'"{name}"' for name in whole.column_names)
        found = connection.sql(f"SELECT count(*), sum(h), bit_xor(h) FROM (SELECT hash({columns}) h FROM rows)")
        assert found.fetchall()[0][0] == whole.num_rows


def _pandas(whole: pa.Table) -> Callable[[], object] | None:
    try:
        from pandas.util import hash_pandas_object
    except ImportError:
        return None
    frame = whole.to_pandas()
    return lambda: hash_pandas_object(frame, index=False).sum()


def _figure(what: str, amount: int, times: dict[str, float], work: str, unit: str, goal: float) -> Figure:
    speed = amount / times[work]
    return Figure(what, speed, unit, PEER, amount / times["peer"], f"at least {goal:.0e} {unit}", speed >= goal)


if __name__ == "__main__":
    import sys

    show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
