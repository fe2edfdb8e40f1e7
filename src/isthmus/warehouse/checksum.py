"""An order-free checksum of rows: how many there are, and two sums of 64 bits over them.

Equal sums mean equal rows, in whatever order, batches, chunks, encodings or files they lie: rows that differ by
chance or fault have equal sums with odds of 2^-128. It is no defence against somebody who chooses rows so that
their sums agree; signatures and the BLAKE3 of the files are. Definition 2, for another implementation:

All numbers are unsigned, of 64 bits, modulo 2^64. Lane 0 and lane 1 are computed alike, each with constants of
its own, and never mixed. `mix` of a lane is x ^= x >> a; x *= M; x ^= x >> b; x *= N; x ^= x >> c, with

    lane 0: a, b, c = 33, 33, 33; M, N = ff51afd7ed558ccd, c4ceb9fe1a85ec53 (MurmurHash3's finaliser)
    lane 1: a, b, c = 30, 27, 31; M, N = bf58476d1ce4e5b9, 94d049bb133111eb (Stafford's Mix13, of SplitMix64)

Keys. A column, and each part of a nested one, has four numbers: the 32 bytes of BLAKE3 in the mode `derive_key`,
context "isthmus row sum 2", over a JSON text, read as little-endian: key of lane 0, key of lane 1, NULL of lane 0,
NULL of lane 1. The text is a list of the column's name, the names of the fields on the way down (null for what
a list holds) and last the kind, in UTF-8 without spaces, nothing escaped but `"`, `\\` and control characters:
`["at","timestamp"]`, `["tags",null,"text"]`. The kind and the value decide, not the width of the type:

    bool       the word is 0 or 1
    int        of every width and sign: the value in two's complement; from 2^63 on, mixed once more
    float      of every width: the bits of the double; -0.0 is 0.0, and every NaN is 7ff8000000000000
    date       days since 1970-01-01
    time       nanoseconds since midnight
    timestamp, duration   microseconds (since 1970-01-01 UTC), rounded down, and r nanoseconds more. A type's zone
               says how an instant is shown and does not count; without a zone it is read as UTC
    text       the bytes of its UTF-8; bytes: of every binary type; decimal/S, S the scale: the 32 bytes of the
               unscaled value, little-endian, two's complement
    list       of every list type, of fixed size too; a map is a list of its structs of "key" and "value"
    struct     its fields, in whatever order
    null       the type that has no other value

The hash of a value in a lane:

    NULL                    the key's NULL number
    a word x                mix(x ^ key); a timestamp or duration with r > 0: mix(that + r)
    bytes, less than 128    mix((s ^ key) + length), where s is the sum of mix(w ^ (key + k * G)) over its words w
                            of 8 bytes, little-endian, the last filled up with zeros; k counts them from 1
    bytes, 128 and more     mix(d ^ key), where d is h1 of the value's MurmurHash3_x64_128 with seed 0 for lane 0,
                            h2 for lane 1
    a list                  mix((s ^ key) + length), where s is the sum of mix(h + k * G) over its items' hashes h
    a struct                mix(s ^ key), where s is the sum of the hashes of its fields

    with G = 9e3779b97f4a7c15 in both lanes

A row is mix(the sum of the hashes of its columns); the lane of a set of rows is the sum of its rows.

Definition 1 took BLAKE3 of values of 512 bytes and more, which held binaries of 4 KB below 1 GB/s. The sum never
withstood anybody who chooses rows, its mixing being invertible, so nothing is lost by a hash that only withstands
chance: each step of MurmurHash3 is a bijection of its state and of what it takes in, so one changed block never
goes unseen, and more are seen as any 128 bits would see them. XXH3, faster still, adds up stretches in a way that
some exchanges of words pass with odds of 2^-64 alone. Sums of two definitions cannot be compared.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from isthmus.core.errors import InputError
from isthmus.warehouse.abreast import abreast, readers
from isthmus.warehouse.rowhash import mixed, value_hashes
from isthmus.warehouse.table import Table

DEFINITION = 2
_TEXT = re.compile(r"(?:([2-9])/)?([0-9]{1,19}):([0-9a-f]{16})([0-9a-f]{16})")
_LANE = (1 << 64) - 1
_BLOCK_ROWS = 16_384
_BLOCK_BYTES = 2 << 20
_BATCH_BYTES, _MOST_BATCH_BYTES = 6 << 20, 64 << 20


@dataclass(frozen=True, slots=True)
class RowSum:
    """How many rows there are, and their sum in two lanes, by a definition. `RowSum()` is that of no rows."""

    count: int = 0
    lanes: tuple[int, int] = (0, 0)
    definition: int = DEFINITION

    def __post_init__(self) -> None:
        if self.count < 0 or not all(0 <= lane <= _LANE for lane in self.lanes):
            raise ValueError(f"no rows have the sum {self.count}, {self.lanes}")

    def __add__(self, other: RowSum) -> RowSum:
        """Return the sum of both sets of rows together. Raises ValueError for those of two definitions."""
        if self.definition != other.definition:
            raise ValueError(f"a sum of definition {self.definition} and one of {other.definition} have none")
        first, second = ((mine + more) & _LANE for mine, more in zip(self.lanes, other.lanes, strict=True))
        return RowSum(self.count + other.count, (first, second), self.definition)

    def unlike(self, other: RowSum) -> bool:
        """Tell whether the rows are proven to be others; sums of two definitions prove nothing but the count."""
        return self.count != other.count or (self.definition == other.definition and self.lanes != other.lanes)

    def __str__(self) -> str:
        by = "" if self.definition == 1 else f"{self.definition}/"
        return f"{by}{self.count}:{self.lanes[0]:016x}{self.lanes[1]:016x}"

    @classmethod
    def of_text(cls, text: str) -> RowSum:
        """Read what `str` writes: `<definition>/<count>:<16 hexadecimal digits of each lane>`. Raises ValueError.

        Sums of the first definition are written without its number.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:80]!r} is no sum of rows")
        return cls(int(found[2]), (int(found[3], 16), int(found[4], 16)), int(found[1] or 1))


def row_sum(batch: pa.RecordBatch) -> RowSum:
    """Sum the rows of a batch. Raises InputError for a column of a type without a definition, or a name twice."""
    names = batch.schema.names
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two columns are called {twice!r}", "rows are summed by the names of their columns")
    total = RowSum()
    for block in _blocks(batch):
        rows = np.zeros((2, block.num_rows), np.uint64)
        for name, column in zip(names, block.columns, strict=True):
            rows += value_hashes(column, name)
        first, second = mixed(rows).sum(axis=1, dtype=np.uint64).tolist()
        total += RowSum(block.num_rows, (first, second))
    return total


def table_sum(table: Table, width: int | None = None) -> RowSum:
    """Sum the rows of a table at its version, on `width` threads beside those that read and decode.

    Where no width is given, half of `readers()`: on few cores decoding fills them already. Streams; a batch holds
    about 6 MB as stored, and never more than 64 MB. Raises InputError as `row_sum` does; what Lance raises on
    damaged files passes through (OSError, ValueError, RuntimeError).
    """
    width = width or max(1, readers() // 2)
    scanner = table.dataset.scanner(
        batch_size=_batch_rows(table),
        batch_size_bytes=_MOST_BATCH_BYTES,
        fragment_readahead=2,
        scan_in_order=False,
        blob_handling="all_binary",
    )
    batches, turn = iter(scanner.to_batches()), threading.Lock()

    def sums() -> Iterator[RowSum]:
        while True:
            with turn:
                batch = next(batches, None)
            if batch is None:
                return
            yield row_sum(batch)

    return sum(abreast([sums] * width, width), RowSum())


def _batch_rows(table: Table) -> int:
    """Return how many rows have about as many bytes as stay in a cache between decoding and hashing."""
    stored = sum(file.file_size_bytes or 0 for part in table.dataset.get_fragments() for file in part.data_files())
    return max(1, min(_BLOCK_ROWS, _BATCH_BYTES * table.count() // max(1, stored)))


def _blocks(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch so that the words of a block stay in the processor's cache."""
    nested = sum(column.nbytes for column in batch.columns if pa.types.is_nested(column.type))
    rows = _BLOCK_ROWS
    if nested:
        rows = max(16, min(rows, _BLOCK_BYTES * batch.num_rows // nested))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)
