"""One open transaction of the embedded store: the documents and waiting operations as the engine changes them.

Everything is written through to SQLite at once, but for new records of new images: these go in together, as soon
as anybody looks. The digest and the counts of the galleries are kept here and written by `flush`, right before the
commit.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Iterator
from typing import Any

from isthmus.core.digest import Digest
from isthmus.core.position import Position
from isthmus.gallery.record import IMAGE_FIELD, Document, Held
from isthmus.gallery.store import codec
from isthmus.gallery.store.coming import TOGETHER, Coming, add_record, add_records
from isthmus.gallery.store.files import ImageFiles
from isthmus.gallery.store.images import Images
from isthmus.gallery.store.intake import Intake, Ready
from isthmus.gallery.store.notes import Notes
from isthmus.gallery.store.tally import Tally

_PAGE = 500


class Change(Notes):
    """The documents and waiting operations (`gallery.ports.Documents`, `Waiting`) of an open transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        row: sqlite3.Row,
        intake: Intake,
        files: ImageFiles,
        most_removals: int,
    ) -> None:
        super().__init__(connection, row["id"])
        self.key: bytes | None = row["key"]
        self._digest = Digest(row["digest"])
        if row["epoch"] is not None:
            self.position = Position(row["epoch"], row["seq"], self._digest)
        self._most_removals = most_removals
        self._galleries: dict[str, Tally] = {}
        self._touched: set[str] = set()
        self._removed_in: set[int] = set()
        self._waiting: dict[tuple[int, bytes], Coming] = {}
        self.images = Images(lambda: self.connection, intake, files)
        """The images that documents and entries have."""
        self.files_removed = 0
        """How many files of images went after the commit."""

    @property
    def connection(self) -> sqlite3.Connection:
        """The transaction, with all in it that was put until now."""
        if self._waiting:
            self._write_through()
        return self._connection

    @property
    def digest(self) -> Digest:
        """The sum over all live records."""
        if self._waiting:
            self._write_through()
        return self._digest

    # Documents

    def get(self, ns: str, key: Any) -> Document | None:
        """Return the document whose `_id` is `key`; None where there is none."""
        gallery = self._gallery(ns)
        if gallery is None:
            return None
        row = self.connection.execute(
            "SELECT body, place, image, size FROM record WHERE gallery = ? AND key = ?",
            (gallery.id, codec.key_of(key)),
        ).fetchone()
        return None if row is None else codec.of_row(row)

    def put(self, ns: str, document: Document) -> None:
        """Add or replace the document with this `_id`. Raises ValueError where it has none."""
        if "_id" not in document:
            raise ValueError(f"a document of {ns} has no _id")
        key = codec.key_of(document["_id"])
        document, image, refused = self._taken(document)
        body, place = codec.parted(document, image)
        digest = None if image is None else image.digest
        size = 0 if image is None else image.size
        gallery = self._made(ns)
        hashed = codec.hash_of(self._stream_key(), ns, key, digest, body)
        values = (body, place, digest, size, refused, hashed)
        vector_of = None
        if not gallery.removals and (gallery.id, key) not in self._waiting and self.images.first_use(digest):
            # only where the image is new as well is a record so likely new that it need not be looked for
            self._waiting[gallery.id, key] = Coming(gallery, key, values, gallery.next())
            if len(self._waiting) >= TOGETHER:
                self._write_through()
        else:
            old = self._old(gallery, key)
            if old is not None and old["hash"] == hashed and old["refused"] == refused:
                return
            vector_of = self._vector_of(digest, old)
            record = Coming(gallery, key, values, gallery.next(), vector_of)
            if old is None:
                self._inserted(record)
            else:
                self._replaced(old, record)
        self._digest = self._digest.plus(hashed)
        gallery.count(1, size, refused, vector_of)
        if digest is not None:
            self.images.loosened.discard(digest)

    def _old(self, gallery: Tally, key: bytes) -> sqlite3.Row | None:
        found: sqlite3.Row | None = self.connection.execute(
            "SELECT id, hash, image, size, refused, vector_of FROM record WHERE gallery = ? AND key = ?",
            (gallery.id, key),
        ).fetchone()
        return found

    def _inserted(self, record: Coming) -> None:
        """Add a record whose key is not there."""
        add_record(self.connection, record)
        if record.gallery.removals:
            at = record.gallery.id, record.key
            self.connection.execute("DELETE FROM removal WHERE gallery = ? AND key = ?", at)

    def _write_through(self) -> None:
        """Add the records that wait; those whose key is there all the same are replaced: their images are new."""
        waiting, self._waiting = [*self._waiting.values()], {}
        for record in add_records(self._connection, waiting):
            old = self._old(record.gallery, record.key)
            assert old is not None
            self._replaced(old, record)

    def _replaced(self, old: sqlite3.Row, record: Coming) -> None:
        self._digest = self._digest.minus(old["hash"])
        self._loosen(old["image"], record.values[2])
        record.gallery.count(-1, old["size"], old["refused"], old["vector_of"])
        self.connection.execute(
            "UPDATE record SET body = ?, place = ?, image = ?, size = ?, refused = ?, hash = ?, changed = ?,"
            " vector_of = ? WHERE id = ?",
            (*record.values, record.changed, record.vector_of, old["id"]),
        )

    def delete(self, ns: str, key: Any) -> bool:
        """Remove the document; False where there was none."""
        gallery = self._gallery(ns)
        return gallery is not None and self._delete(gallery, codec.key_of(key))

    def create(self, ns: str) -> None:
        """Make an empty collection; nothing happens where it is there."""
        self._made(ns)

    def drop(self, ns: str) -> None:
        """Remove a collection with all its documents."""
        gallery = self._gallery(ns)
        if gallery is None or not gallery.live:
            return
        rows = self.connection.execute("SELECT hash, image FROM record WHERE gallery = ?", (gallery.id,))
        for row in rows:
            self._digest = self._digest.minus(row["hash"])
            self._loosen(row["image"], None)
        self.connection.execute("DELETE FROM record WHERE gallery = ?", (gallery.id,))
        self.connection.execute("DELETE FROM removal WHERE gallery = ?", (gallery.id,))
        gallery.live = False
        gallery.floor = gallery.next()  # who is behind it compares everything, rather than reads every removal
        gallery.records = gallery.image_bytes = gallery.refused = gallery.vectors = 0
        self._touched.add(ns)

    def drop_database(self, database: str) -> None:
        """Remove all collections of a database."""
        for ns in self.namespaces():
            if ns.partition(".")[0] == database:
                self.drop(ns)

    def rename(self, ns: str, to: str) -> None:
        """Give a collection another name; what was there under that name is gone."""
        gallery = self._gallery(ns)
        if gallery is None or not gallery.live or ns == to:
            return
        self.drop(to)
        self.create(to)
        for row in self._rows(gallery.id):
            self.put(to, codec.of_row(row))  # the name is part of every record's hash
        self.drop(ns)

    def namespaces(self) -> list[str]:
        """List the collections, sorted."""
        names = {row["ns"] for row in self._all("SELECT ns FROM gallery WHERE stream_set = ?", self.set_id)}
        return sorted(ns for ns in names | self._touched if (found := self._gallery(ns)) and found.live)

    # What a snapshot and the stream need besides

    def begin_stream(self, key: bytes) -> None:
        """Take the key of the stream's digests; where another was used until now, hash every record anew."""
        if key == self.key:
            return
        self.key, self._digest = key, Digest()
        for ns in self.namespaces():
            gallery = self._made(ns)
            for row in self._rows(gallery.id):
                hashed = codec.hash_of(key, ns, row["key"], row["image"], row["body"])
                self._digest = self._digest.plus(hashed)
                self.connection.execute("UPDATE record SET hash = ? WHERE id = ?", (hashed, row["id"]))

    def delete_between(self, ns: str, after: bytes | None, before: bytes | None) -> int:
        """Remove records whose keys lie between two keys, both left alone; None: from the first, to the last."""
        gallery = self._gallery(ns)
        if gallery is None:
            return 0
        keys = self._all(
            "SELECT key FROM record WHERE gallery = ? AND key > ? AND (? IS NULL OR key < ?)",
            gallery.id, after or b"", before, before,
        )  # fmt: skip
        for row in keys:
            self._delete(gallery, row["key"])
        return len(keys)

    def ui(self, ns: str) -> bytes:
        """Return the UUID of a collection, which is made with it."""
        sql = "SELECT ui FROM gallery WHERE id = ?"
        return bytes(self.connection.execute(sql, (self._made(ns).id,)).fetchone()["ui"])

    def flush(self) -> None:
        """Write what was kept here: the last thing before the commit."""
        if self._waiting:
            self._write_through()
        for ns in sorted(self._touched):
            item = self._galleries[ns]
            self.connection.execute(
                "UPDATE gallery SET live = ?, change = ?, floor = ?, records = ?, image_bytes = ?, refused = ?,"
                " vectors = ? WHERE id = ?",
                (item.live, item.change, item.floor, item.records, item.image_bytes, item.refused,
                 item.vectors, item.id),
            )  # fmt: skip
        for gallery in sorted(self._removed_in):
            self.bound_removals(gallery, self._most_removals)
        self.images.let_go()
        place = self.position
        self.connection.execute(
            "UPDATE stream_set SET key = ?, epoch = ?, seq = ?, digest = ? WHERE id = ?",
            (self.key, place and place.epoch, place and place.seq, self._digest.lanes, self.set_id),
        )

    def _taken(self, document: Document) -> tuple[Document, Ready | Held | None, str | None]:
        """Take the image out of what an entry or an earlier `get` has in the image field."""
        value = document.get(IMAGE_FIELD)
        if isinstance(value, Held):
            if value.text is not None:
                return {**document, IMAGE_FIELD: value.text}, None, None
            return document, value, self.images.refused(value.digest)
        ready = self.images.intake.take(value) if isinstance(value, str) else None
        return document, ready, None if ready is None else self.images.keep(ready)

    def _delete(self, gallery: Tally, key: bytes) -> bool:
        old = self._old(gallery, key)
        if old is None:
            return False
        self.connection.execute("DELETE FROM record WHERE id = ?", (old["id"],))
        self.connection.execute("REPLACE INTO removal VALUES (?, ?, ?)", (gallery.id, key, gallery.next()))
        gallery.removals = True
        gallery.count(-1, old["size"], old["refused"], old["vector_of"])
        self._digest = self._digest.minus(old["hash"])
        self._loosen(old["image"], None)
        self._touched.add(gallery.ns)
        self._removed_in.add(gallery.id)
        return True

    def _vector_of(self, digest: bytes | None, old: sqlite3.Row | None) -> str | None:
        if digest is None or self.images.is_new(digest):
            return None
        if old is not None and old["image"] == digest:
            return old["vector_of"]  # type: ignore[no-any-return]
        return self.images.vector_of(digest)

    def _loosen(self, image: bytes | None, but: bytes | None) -> None:
        if image is not None and image != but:
            self.images.loosened.add(image)

    def _stream_key(self) -> bytes:
        if self.key is None:
            raise ValueError("the set follows no stream yet: its digests have no key")
        return self.key

    def _gallery(self, ns: str) -> Tally | None:
        found = self._galleries.get(ns)
        if found is not None:
            return found
        row = self.connection.execute(
            "SELECT id, ns, live, change, floor, records, image_bytes, refused, vectors,"
            " EXISTS (SELECT 1 FROM removal WHERE removal.gallery = gallery.id)"
            " FROM gallery WHERE stream_set = ? AND ns = ?",
            (self.set_id, ns),
        ).fetchone()
        if row is None:
            return None
        self._galleries[ns] = found = Tally(*row)
        return found

    def _made(self, ns: str) -> Tally:
        found = self._gallery(ns)
        if found is None:
            self.connection.execute(
                "INSERT INTO gallery (stream_set, ns, live, ui) VALUES (?, ?, 1, ?)",
                (self.set_id, ns, uuid.UUID(bytes=os.urandom(16), version=4).bytes),
            )
            found = self._gallery(ns)
            assert found is not None
        found.live = True
        self._touched.add(ns)
        return found

    def _rows(self, gallery: int) -> Iterator[sqlite3.Row]:
        """Stream a gallery's rows by key, in pages, so that they may be changed meanwhile."""
        sql = "SELECT * FROM record WHERE gallery = ? AND key > ? ORDER BY key LIMIT ?"
        last = b""
        while rows := self._all(sql, gallery, last, _PAGE):
            yield from rows
            last = rows[-1]["key"]
