"""Gives vectors their rows within one transaction of a matrix."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from sqlite3 import Connection
from typing import TypeVar

import numpy as np

from isthmus.core.errors import InputError
from isthmus.gallery.nearest import Rounding
from isthmus.gallery.rows import Rows

T = TypeVar("T")

_BATCH = 512


def batches(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """Cut a stream into tuples that one statement of SQLite takes."""
    rest = iter(items)
    while batch := tuple(islice(rest, _BATCH)):
        yield batch


class Room:
    """Gives rows to vectors within one transaction: first those that were free before it, then new ones behind."""

    def __init__(
        self, connection: Connection, rows: Rows, rounded: Rows | None, rounding: Rounding, high: int
    ) -> None:
        self.high = high
        self.rounding = rounding
        self._connection = connection
        self._rows, self._rounded = rows, rounded
        self.freed: list[int] = []
        found = connection.execute("SELECT row FROM matrix_free ORDER BY row DESC").fetchall()
        self._spare = [row["row"] for row in found]

    def free(self, keys: Iterable[bytes]) -> None:
        """Take the rows of these keys out of use."""
        given = tuple(keys)
        marks = ",".join("?" * len(given))
        found = self._connection.execute(f"SELECT row FROM matrix_row WHERE key IN ({marks})", given).fetchall()
        if found:
            self._connection.execute(f"DELETE FROM matrix_row WHERE key IN ({marks})", given)
            unused = [row["row"] for row in found]
            self._connection.executemany("INSERT INTO matrix_free (row) VALUES (?)", [(row,) for row in unused])
            self.freed += unused

    def put(self, vectors: dict[bytes, bytes]) -> None:
        """Write the vectors, each into a row of its own, which was not used before."""
        self.free(vectors)
        spare = [self._spare.pop() for _ in range(min(len(self._spare), len(vectors)))]
        fresh = range(self.high, self.high + len(vectors) - len(spare))
        self.high = fresh.stop
        contents = list(vectors.values())
        self._write(self._rows, spare, fresh, contents)
        if self._rounded is not None:
            self._write(self._rounded, spare, fresh, self._round(b"".join(contents)))
        self._connection.executemany("DELETE FROM matrix_free WHERE row = ?", [(row,) for row in spare])
        self._connection.executemany(
            "INSERT INTO matrix_row (key, row, sum) VALUES (?, ?, ?)",
            [
                (key, row, zlib.crc32(content))
                for row, (key, content) in zip([*spare, *fresh], vectors.items(), strict=True)
            ],
        )

    def _write(self, rows: Rows, spare: list[int], fresh: range, contents: list[bytes]) -> None:
        rows.hold(self.high)
        for row, content in zip(spare, contents, strict=False):
            rows.write(row, content)
        rows.write(fresh.start, b"".join(contents[len(spare) :]))

    def _round(self, contents: bytes) -> list[bytes]:
        vectors = np.frombuffer(contents, "<f2").reshape(-1, self._rows.stride // 2)
        if not np.isfinite(vectors).all():
            raise InputError("a vector has a component that is no finite number", "make it anew")
        if not self.rounding.scale:
            self.rounding = Rounding.fitting(vectors)
        rows, moved = self.rounding.rounded(vectors)
        self.rounding = replace(self.rounding, error=max(self.rounding.error, moved))
        return [row.tobytes() for row in rows]
