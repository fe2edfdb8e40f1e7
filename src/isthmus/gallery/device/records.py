"""What a device holds, read: its galleries, their records, and the vectors that came or were made here."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from isthmus.core.digest import Digest
from isthmus.core.errors import Corrupt, UnknownName
from isthmus.gallery.device.content import Contents
from isthmus.gallery.device.schema import kind_of
from isthmus.gallery.device.sealing import Sealing
from isthmus.gallery.device.vectors import Vectors, model_of
from isthmus.gallery.sync.item import Item, Ref, key_hash
from isthmus.gallery.sync.messages import Kind
from isthmus.gallery.sync.mode import Mode
from isthmus.imaging.port import Model
from isthmus.state.store import Store


@dataclass(frozen=True, slots=True)
class HeldGallery:
    """What the device holds of a gallery. `verified`: with the server's digest, at the last synchronisation."""

    gallery: str
    mode: Mode
    model: Kind | None
    records: int
    change: int
    digest: Digest
    verified: bool
    synced: str | None


class Records:
    """The records in a device's database, and the contents that they name."""

    def __init__(self, store: Store, sealing: Sealing, contents: Contents) -> None:
        self._store, self._sealing, self.contents = store, sealing, contents
        self._vectors = Vectors(store, sealing)

    def galleries(self) -> list[HeldGallery]:
        """List what is held, sorted by name."""
        return [
            HeldGallery(
                row["name"],
                Mode(row["mode"]),
                kind_of(row["model"]),
                row["count"],
                row["change"],
                Digest(row["digest"]),
                bool(row["verified"]),
                row["synced"],
            )
            for row in self._store.rows("SELECT * FROM device_gallery ORDER BY name")
        ]

    def items(self, gallery: str, after: bytes = b"") -> Iterator[tuple[bytes, Item]]:
        """Stream a gallery's records behind a key hash with their key hashes, by key hash."""
        while rows := self._store.rows(
            "SELECT hash, body FROM device_record WHERE gallery = ? AND hash > ? ORDER BY hash LIMIT 2000",
            (gallery, after),
        ):
            for row in rows:
                yield row["hash"], self._item(gallery, row["hash"], row["body"])
            after = rows[-1]["hash"]

    def item(self, gallery: str, place: bytes) -> Item | None:
        """Return the record with a key hash."""
        rows = self._store.rows("SELECT body FROM device_record WHERE gallery = ? AND hash = ?", (gallery, place))
        return self._item(gallery, place, rows[0]["body"]) if rows else None

    def place(self, gallery: str, key: bytes) -> bytes:
        """Return the key hash of a record's key. Raises UnknownName where the gallery is not held."""
        return key_hash(self._key(self._row(gallery)), key)

    def vector(self, item: Item) -> bytes | None:
        """Return a record's vector; None where it has none."""
        return self.contents.read(item.vector) if isinstance(item.vector, Ref) else item.vector

    def content(self, digest: bytes) -> bytes | None:
        """Return a content that a record refers to; None where none does. Raises Corrupt where it was altered."""
        used = "SELECT 1 FROM device_used WHERE name = ? LIMIT 1"
        if not self._store.rows(used, (self.contents.name(digest),)):
            return None
        return self.contents.read(Ref(digest, 0))  # the digest alone proves it

    def models(self, gallery: str) -> list[Model]:
        """List the models whose vectors a gallery has, the server's first."""
        kind = kind_of(self._row(gallery)["model"])
        own = self._vectors.models(gallery)
        return own if kind is None else [model_of(kind), *(model for model in own if model.name != kind.name)]

    def vector_of(self, gallery: str, place: bytes, item: Item, model: str) -> bytes | None:
        """Return a record's vector by a model, the server's or the device's own; None where there is none."""
        kind = kind_of(self._row(gallery)["model"])
        given = self.vector(item) if kind is not None and kind.name == model else None
        return given or self._vectors.get(gallery, place, model) or None

    def without_vector(self, gallery: str, model: str) -> Iterator[tuple[bytes, Item]]:
        """Stream the records of which there is no vector by a model and none was tried to be made."""
        kind = kind_of(self._row(gallery)["model"])
        for place, item in self.items(gallery):
            if kind is not None and kind.name == model and item.vector is not None:
                continue
            if self._vectors.get(gallery, place, model) is None:
                yield place, item

    def put_vector(self, gallery: str, place: bytes, model: Model, vector: bytes | None) -> bool:
        """Keep a vector that the device made; whether there is one."""
        self._vectors.put(gallery, place, model, vector)
        return vector is not None

    def stamp(self, gallery: str) -> tuple[str, int]:
        """Return the gallery's epoch and the newest stamp; see device.vectors."""
        return bytes(self._row(gallery)["epoch"]).hex(), self._vectors.stamp()

    def touched(self, gallery: str, after: int) -> list[bytes] | None:
        """List the key hashes stamped since; None where that is too long ago."""
        return self._vectors.touched(gallery, after)

    def attributes(self, item: Item) -> bytes:
        """Return a record's attributes, BSON."""
        return self.contents.read(item.attributes) if isinstance(item.attributes, Ref) else item.attributes

    def _row(self, gallery: str) -> sqlite3.Row:
        rows = self._store.rows("SELECT * FROM device_gallery WHERE name = ?", (gallery,))
        if not rows:
            rows = self._store.rows("SELECT name FROM device_gallery")
            raise UnknownName.among("gallery", gallery, [row["name"] for row in rows])
        row: sqlite3.Row = rows[0]
        return row

    def _key(self, row: sqlite3.Row) -> bytes:
        return self._sealing.open(row["key"], row["name"].encode())

    def _item(self, gallery: str, place: bytes, body: bytes) -> Item:
        try:
            return msgspec.msgpack.decode(self._sealing.open(body, gallery.encode() + place), type=Item)
        except msgspec.MsgspecError as error:
            raise Corrupt(f"a record of {gallery} cannot be read", "synchronise anew") from error

    def _body(self, gallery: str, place: bytes, item: Item) -> bytes:
        return self._sealing.seal(msgspec.msgpack.encode(item), gallery.encode() + place)
