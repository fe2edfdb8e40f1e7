"""Rows of 4 KB random bytes, which no codec makes smaller, for the benchmarks of lookup and load."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema

VALUE_BYTES = 4096
ROWS = 1_000_000
NAME = TableName("bench", "wide", "rows")
SCHEMA = Schema((Field("id", FieldType.STRING, nullable=False), Field("complex", FieldType.COMPLEX)), "id")


def key(number: int) -> str:
    return f"id{number:09d}"


def wide(rows: int, step: int = 8192, seed: int = 0) -> Iterator[pa.RecordBatch]:
    """Yield the rows in order of their keys. The bytes repeat after a pool of 64 MB, at other offsets."""
    pool = np.random.default_rng(seed).bytes((64 << 20) + 8192)
    rng = np.random.default_rng(seed + 1)
    offsets = pa.py_buffer(np.arange(0, (step + 1) * VALUE_BYTES, VALUE_BYTES, dtype=np.int64))
    size = step * VALUE_BYTES
    for start in range(0, rows, step):
        count = min(step, rows - start)
        at = int(rng.integers(0, len(pool) - size))
        values = pa.Array.from_buffers(
            pa.large_binary(), count, [None, offsets, pa.py_buffer(pool[at : at + size])]
        )
        keys = pa.array([key(number) for number in range(start, start + count)])
        yield pa.RecordBatch.from_arrays([keys, values], names=["id", "complex"])
