"""A small table for the tests of the warehouse: one field of each type."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table

NAME = TableName("loop", "drive", "small")
DAY = datetime.date(2026, 11, 20)
SMALL = Schema(
    key="id",
    fields=(
        Field("id", FieldType.STRING, "names the row", nullable=False),
        Field("slot", FieldType.INT, "the slice that the row belongs to", nullable=False),
        Field("day", FieldType.DATE, "the day"),
        Field("at", FieldType.TIMESTAMP, "the time"),
        Field("speed", FieldType.FLOAT, "speed", "m/s"),
        Field("good", FieldType.BOOL, "whether it is"),
        Field("tags", FieldType.STRINGS, "tags", nullable=False),
        Field("counts", FieldType.INTS, "counts", nullable=False),
        Field("profile", FieldType.FLOATS, "speeds", "m/s", nullable=False),
        Field("vector", FieldType.VECTOR, "vector", size=3),
        Field("complex", FieldType.COMPLEX, "everything else"),
    ),
)


def row(key: str, slot: int, value: int = 0) -> dict[str, Any]:
    """One row whose every field follows from its arguments."""
    return {
        "id": key,
        "slot": slot,
        "day": DAY + datetime.timedelta(days=slot),
        "at": datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC) + datetime.timedelta(seconds=value),
        "speed": None if value % 7 == 3 else value / 4,
        "good": value % 2 == 0,
        "tags": [f"t{i}" for i in range(value % 3)],
        "counts": list(range(value % 4)),
        "profile": [value * 0.5] * (value % 2),
        "vector": [value, slot, 1.0],
        "complex": f"{key}/{value}".encode() * 20,
    }


def batches(rows: Sequence[Mapping[str, Any]], size: int = 3) -> Iterator[pa.RecordBatch]:
    """The rows as record batches."""
    arrow = pa.schema([pa.field(item.name, item.arrow()) for item in SMALL.fields])
    for start in range(0, len(rows), size):
        yield pa.RecordBatch.from_pylist(list(rows[start : start + size]), schema=arrow)


def small(root: Path, rows: int = 0, slot: int = 1, **options: Any) -> Table:
    """A table with `rows` rows named r0, r1, …"""
    table = Catalog(root).create(NAME, SMALL, **options)
    if rows:
        table.append(batches([row(f"r{i}", slot, i) for i in range(rows)]))
    return table


def keys(table: Table) -> set[str]:
    """The keys that are in the table."""
    return {key for batch in table.scan(["id"]) for key in batch.column("id").to_pylist()}
