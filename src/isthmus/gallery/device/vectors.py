"""Vectors that the device made itself, and the stamps by which its matrices follow the records.

Every record that is written, removed or given a vector gets a new stamp. Stamps are kept for the latest
MOST_STAMPS records; whoever stands further back begins anew. So does whoever stands before a gallery was forgotten
as a whole: that is one stamp, of no record.
"""

from __future__ import annotations

import sqlite3

import msgspec

from isthmus.gallery.device.sealing import Sealing
from isthmus.gallery.sync.messages import Kind
from isthmus.imaging.port import Model
from isthmus.state.store import Store

MOST_STAMPS = 50_000
_ALL = b""
"""In place of a key hash: all records of the gallery were forgotten, each without a stamp of its own."""
_STEPS = (
    """CREATE TABLE device_stamp (
        stamp INTEGER PRIMARY KEY AUTOINCREMENT, gallery TEXT NOT NULL, hash BLOB NOT NULL, UNIQUE (gallery, hash)
    );
    CREATE TABLE device_vector (
        gallery TEXT NOT NULL, hash BLOB NOT NULL, model TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (gallery, hash, model)
    ) WITHOUT ROWID;
    CREATE TABLE device_model (
        gallery TEXT NOT NULL, name TEXT NOT NULL, model BLOB NOT NULL, PRIMARY KEY (gallery, name)
    ) WITHOUT ROWID""",
)


class Vectors:
    """Keeps them in the device's store; a record's own vectors go with the record."""

    def __init__(self, store: Store, sealing: Sealing) -> None:
        self._store, self._sealing = store, sealing
        store.migrate("device_vector", _STEPS)

    def models(self, gallery: str) -> list[Model]:
        """List the models that the device itself made vectors by."""
        rows = self._store.rows("SELECT model FROM device_model WHERE gallery = ? ORDER BY name", (gallery,))
        return [model_of(msgspec.msgpack.decode(row["model"], type=Kind)) for row in rows]

    def get(self, gallery: str, place: bytes, model: str) -> bytes | None:
        """Return a record's own vector; empty where the model found nothing, None where it was not asked."""
        rows = self._store.rows(
            "SELECT body FROM device_vector WHERE gallery = ? AND hash = ? AND model = ?", (gallery, place, model)
        )
        return self._sealing.open(rows[0]["body"], gallery.encode() + place) if rows else None

    def put(self, gallery: str, place: bytes, model: Model, vector: bytes | None) -> None:
        """Keep a vector that was made of a record's image; None: nothing was found."""
        kind = Kind(model.name, model.metric, model.size, model.threshold, model.scale)
        with self._store.transaction() as connection:
            there = "SELECT 1 FROM device_record WHERE gallery = ? AND hash = ?"
            if connection.execute(there, (gallery, place)).fetchone() is None:
                return
            body = self._sealing.seal(vector or b"", gallery.encode() + place)
            connection.execute(
                "REPLACE INTO device_vector VALUES (?, ?, ?, ?)", (gallery, place, model.name, body)
            )
            connection.execute(
                "REPLACE INTO device_model VALUES (?, ?, ?)", (gallery, model.name, msgspec.msgpack.encode(kind))
            )
            touch(connection, gallery, place)

    def stamp(self) -> int:
        """Return the newest stamp."""
        rows = self._store.rows("SELECT seq FROM sqlite_sequence WHERE name = 'device_stamp'")
        return rows[0]["seq"] if rows else 0

    def touched(self, gallery: str, after: int) -> list[bytes] | None:
        """List the records stamped after a stamp; None where stamps since are forgotten, or the gallery was."""
        if not self.stamp() - MOST_STAMPS <= after <= self.stamp():
            return None
        sql = "SELECT hash FROM device_stamp WHERE gallery = ? AND stamp > ?"
        hashes = [row["hash"] for row in self._store.rows(sql, (gallery, after))]
        return None if _ALL in hashes else hashes


def touch(connection: sqlite3.Connection, gallery: str, place: bytes) -> None:
    """Give a record a new stamp."""
    connection.execute("REPLACE INTO device_stamp (gallery, hash) VALUES (?, ?)", (gallery, place))


def forget_old(connection: sqlite3.Connection) -> None:
    """Forget all but the latest stamps."""
    newest = "(SELECT seq FROM sqlite_sequence WHERE name = 'device_stamp')"
    connection.execute(f"DELETE FROM device_stamp WHERE stamp <= {newest} - ?", (MOST_STAMPS,))


def forget_gallery(connection: sqlite3.Connection, gallery: str) -> None:
    """Forget the vectors and stamps of a gallery, and have its matrices filled anew."""
    for table in ("device_vector", "device_model", "device_stamp"):
        connection.execute(f"DELETE FROM {table} WHERE gallery = ?", (gallery,))
    touch(connection, gallery, _ALL)


def model_of(kind: Kind) -> Model:
    """Return the model that the server told of."""
    return Model(kind.name, kind.metric, kind.size, kind.threshold, kind.scale)
