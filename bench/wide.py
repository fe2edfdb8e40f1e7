"""Rows of 4 KB for the benchmarks of lookup and load: random bytes, or walks that a codec makes smaller."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema

VALUE_BYTES = 4096
ROWS = 1_000_000
NAME = TableName("bench", "wide", "rows")
SCHEMA = Schema((Field("id", FieldType.STRING, nullable=False), Field("complex", FieldType.COMPLEX)), "id")
_POOL = 96 << 20


def key(number: int) -> str:
    return f"id{number:09d}"


@functools.cache
def pool(walks: bool) -> bytes:
    """The bytes that values are cut from: random, or float32 walks as recorded states are."""
    rng = np.random.default_rng(0)
    if not walks:
        return rng.bytes(_POOL)
    steps = rng.standard_normal(_POOL // 4, np.float32) * np.float32(0.05)
    return (np.round(np.cumsum(steps, dtype=np.float32) * 256) / 256).astype("<f4").tobytes()


def wide(rows: int, step: int = 8192, walks: bool = False) -> Iterator[pa.RecordBatch]:
    """Yield the rows in order of their keys. Values are cut from a pool of 96 MB, each batch at another offset."""
    rng = np.random.default_rng(1)
    size = step * VALUE_BYTES
    content = pool(walks)
    offsets = pa.py_buffer(np.arange(0, (step + 1) * VALUE_BYTES, VALUE_BYTES, dtype=np.int64))
    for start in range(0, rows, step):
        count = min(step, rows - start)
        at = int(rng.integers(0, (_POOL - size) // 4)) * 4
        cut = pa.py_buffer(content[at : at + size])
        values = pa.Array.from_buffers(pa.large_binary(), count, [None, offsets, cut])
        keys = pa.array([key(number) for number in range(start, start + count)])
        yield pa.RecordBatch.from_arrays([keys, values], names=["id", "complex"])
