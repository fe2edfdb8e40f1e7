"""Lists of ids among 1 million rows of 4 KB: Isthmus against DuckDB over id-sorted Parquet of the same rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.figure import Figure, medians_s, scratch, show
from bench.wide import NAME, ROWS, SCHEMA, key, wide
from isthmus.warehouse import lookup
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.idlist import IdList
from isthmus.warehouse.plan import Plan
from isthmus.warehouse.table import Table

LENGTHS = (100, 1_000, 10_000, 50_000, 100_000, 300_000, 500_000, 700_000, 900_000, 1_000_000)
PEER = "DuckDB over Parquet"


def run(scale: float = 1.0, plans: bool = False) -> list[Figure]:
    """Measure; `plans` adds both plans at every length, from which the crossing in `plan.py` comes."""
    rows = max(10_000, int(ROWS * scale))
    with scratch("lookup") as folder:
        table = Catalog(folder).create(NAME, SCHEMA, compression="none")
        table.append(wide(rows))
        parquet = folder / "rows.parquet"
        with pq.ParquetWriter(parquet, next(wide(1)).schema, compression="zstd", use_dictionary=False) as writer:
            for batch in wide(rows):
                writer.write_batch(batch)
        figures = []
        for length in LENGTHS:
            figures += _length(table, parquet, rows, min(rows, max(10, int(length * scale))), plans)
        return figures


def _length(table: Table, parquet: Path, rows: int, length: int, plans: bool) -> list[Figure]:
    asked = np.sort(np.random.default_rng(length).choice(rows, length, replace=False))
    at = {
        r: i
        for b in table.scan(["id", "_rowid"], batch_rows=1 << 20)
        for r, i in zip(*b.to_pydict().values(), strict=True)
    }
    keys = [key(number) for number in asked]
    chosen = IdList.of(
        pa.table({"id": keys, "_rowid": [at[name] for name in keys]}), table.uri, table.identity, table.version
    )
    del at
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: _ours(table, chosen, None),
        "peer": lambda: _theirs(parquet, keys),
    }
    if plans:
        works |= {plan.name: (lambda plan=plan: _ours(table, chosen, plan)) for plan in Plan}  # type: ignore[misc]
    times = medians_s(works, 5, seed=length)
    ours, peer = times["ours"], times["peer"]
    goals = {1_000: 15.0, 10_000: 4.0}
    ratio = goals.get(length)
    figures = [
        Figure(
            f"lookup of {length:,} ids among {rows:,} × 4 KB",
            ours,
            "s",
            PEER,
            peer,
            "at most 1.2× the peer's time",
            ours <= 1.2 * peer,
        )
    ]
    if ratio:
        figures.append(
            Figure(
                f"  times faster, {length:,} ids",
                peer / ours,
                "×",
                PEER,
                1.0,
                f"at least {ratio:g}×",
                peer / ours >= ratio,
            )
        )
    figures += [Figure(f"  by plan {plan.name}, {length:,} ids", times[plan.name], "s") for plan in Plan if plans]
    return figures


def _ours(table: Table, chosen: IdList, plan: Plan | None) -> None:
    found = sum(batch.num_rows for batch in lookup.take(table, chosen, ["complex"], plan=plan))
    assert found == chosen.count


def _theirs(parquet: Path, keys: list[str]) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.register("asked", pa.table({"id": keys}))
        reader = connection.sql(f"SELECT id, complex FROM '{parquet}' SEMI JOIN asked USING (id)").to_arrow_reader(
            4096
        )
        found = sum(batch.num_rows for batch in reader)
    assert found == len(keys)


if __name__ == "__main__":
    import sys

    show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0, plans=True))
