"""Records that are added together: after each statement the thread waits for those that make images ready."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from isthmus.gallery.store.tally import Tally

TOGETHER = 64
"""So many go in by one statement: old SQLite takes 999 values."""
_COLUMNS = "INSERT INTO record (body, place, image, size, refused, hash, changed, vector_of, gallery, key) VALUES "
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

Values = tuple[bytes, int, bytes | None, int, str | None, bytes]
"""Of a record: body, place, image, size, refused, hash."""


class Coming(NamedTuple):
    """A record that is to be added to a gallery, with the number of its change."""

    gallery: Tally
    key: bytes
    values: Values
    changed: int
    vector_of: str | None = None

    @property
    def row(self) -> tuple[object, ...]:
        """Its values in the order of the columns."""
        return (*self.values, self.changed, self.vector_of, self.gallery.id, self.key)


def add_record(connection: sqlite3.Connection, record: Coming) -> None:
    """Add a record whose key is not there."""
    connection.execute(_COLUMNS + _ROW, record.row)


def add_records(connection: sqlite3.Connection, records: list[Coming]) -> list[Coming]:
    """Add records of different keys; returns those whose key was there, to which nothing happened."""
    marks = ", ".join([_ROW] * len(records))
    sql = f"{_COLUMNS}{marks} ON CONFLICT (gallery, key) DO NOTHING RETURNING gallery, key"
    rows = connection.execute(sql, [value for record in records for value in record.row]).fetchall()
    if len(rows) == len(records):
        return []
    added = {(row["gallery"], bytes(row["key"])) for row in rows}
    return [record for record in records if (record.gallery.id, record.key) not in added]
