"""The embedded gallery store: documents in the site's SQLite file, images as files by their digest.

Whatever changes does so inside `changing`: the documents, the position, the digest, counters, quarantine and the
names of images that are no longer used are committed in one transaction. Images are durable before the commit;
those that lost their last use are removed after it, and where that was cut short, by the next `tidy`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from isthmus.core.digest import Digest
from isthmus.core.position import Position
from isthmus.gallery.ports import StoredImage
from isthmus.gallery.record import Document, GalleryStat, Held, Record, Removed
from isthmus.gallery.store import codec, schema
from isthmus.gallery.store.bounds import Bounds
from isthmus.gallery.store.change import Change
from isthmus.gallery.store.files import ImageFiles
from isthmus.gallery.store.intake import Check, Intake
from isthmus.imaging.anatomy import ImageLimits
from isthmus.state.store import Store

__all__ = ["Bounds", "SqliteSet", "Step", "image_check", "unseen"]

Step = Callable[[str], None]
"""Told the name of each step of a transaction as it is reached; tests kill the process there."""

_PAGE = 1000


def unseen(step: str) -> None:
    """Take no notice."""


class SqliteSet:
    """A set of galleries that follows, or makes, one stream; implements `gallery.ports.Set`.

    Belongs to the thread that opened its store. With `check` every image that comes is decoded within the limits
    of `imaging.decode`, or judged by the given one, and what cannot be is refused; without it images are taken as
    they are.
    """

    def __init__(
        self,
        store: Store,
        images: Path,
        stream: str,
        *,
        check: bool | Check,
        packed: bool = False,
        bounds: Bounds | None = None,
        step: Step = unseen,
    ) -> None:
        self.store, self.stream, self.bounds, self.step = store, stream, bounds or Bounds(), step
        self.files = ImageFiles(images, packed=packed)
        self.intake = Intake(image_check() if check is True else check or None)
        self._looked_at: dict[str, int] = {}
        store.migrate("gallery", schema.STEPS)
        # what is removed, vectors of faces above all, is overwritten in the file
        store.rows("PRAGMA secure_delete = ON")
        if not store.rows("SELECT 1 FROM stream_set WHERE stream = ?", (stream,)):
            with store.transaction() as connection:
                connection.execute("INSERT OR IGNORE INTO stream_set (stream, digest) VALUES (?, ?)",
                                   (stream, Digest().lanes))  # fmt: skip

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Open a transaction; at its end everything is committed, on an error nothing is.

        Raises Busy, OSError (the disk is full), Corrupt.
        """
        try:
            with self.store.transaction() as connection, self._placing():
                row = connection.execute("SELECT * FROM stream_set WHERE stream = ?", (self.stream,)).fetchone()
                change = Change(connection, row, self.intake, self.files, self.bounds.removals)
                yield change
                change.flush()
                self.files.settle()
                self.step("placed")
                self.files.sync()
                self.step("synced")
            self.step("committed")
        finally:
            self.intake.clear()
        if change.images.removed:
            change.files_removed = self.remove_unused()
        self.step("removed")

    @contextlib.contextmanager
    def _placing(self) -> Iterator[None]:
        """Leave no file half way: the transaction ends, and so its lock, when the last one is in place.

        Written later it would replace, unsynced, the same image that the next one made durable.
        """
        try:
            yield
        finally:
            self.files.forget_placed()

    def position(self) -> Position | None:
        """Return where the set stands; None before the first bundle or change."""
        row = self._set_row()
        if row["epoch"] is None:
            return None
        return Position(row["epoch"], row["seq"], Digest(row["digest"]))

    def seen(self, epoch: int, seq: int) -> str | None:
        """Return the digest, as text, that the set had at (epoch, seq); None where it does not know."""
        rows = self.store.rows(
            "SELECT digest FROM stream_seen WHERE stream_set = ? AND epoch = ? AND seq = ?",
            (self._set_row()["id"], epoch, seq),
        )
        return rows[0]["digest"] if rows else None

    def galleries(self) -> list[GalleryStat]:
        """Tell what each gallery holds, sorted by name."""
        rows = self.store.rows(
            "SELECT ns, records, image_bytes, refused, vectors, change FROM gallery"
            " WHERE stream_set = ? AND live ORDER BY ns",
            (self._set_row()["id"],),
        )
        return [GalleryStat(*row) for row in rows]

    def identity(self, gallery: str) -> bytes:
        """Return what tells a gallery from one of its name in another set, or this set built anew; else b""."""
        rows = self.store.rows("SELECT ui FROM gallery WHERE id = ?", (self._number(gallery),))
        return bytes(rows[0]["ui"]) if rows else b""

    def records(self, gallery: str, after: bytes = b"") -> Iterator[Record]:
        """Stream the live records of a gallery behind a key, by key."""
        sql = (
            "SELECT key, image, size, refused, changed, vector_of FROM record"
            " WHERE gallery = ? AND key > ? ORDER BY key LIMIT ?"
        )
        number, last = self._number(gallery), after
        while rows := self.store.rows(sql, (number, last, _PAGE)):
            for row in rows:
                yield _record(gallery, row)
            last = rows[-1]["key"]

    def refused(self, most: int) -> list[tuple[str, bytes, str]]:
        """Tell gallery, key and reason of records whose image was refused, sorted."""
        number = self._set_row()["id"]
        if not self.store.rows("SELECT 1 FROM gallery WHERE stream_set = ? AND live AND refused > 0", (number,)):
            return []
        rows = self.store.rows(
            "SELECT ns, key, record.refused AS why FROM gallery JOIN record ON record.gallery = gallery.id"
            " WHERE stream_set = ? AND live AND record.refused IS NOT NULL ORDER BY ns, key LIMIT ?",
            (number, most),
        )
        return [(row["ns"], row["key"], row["why"]) for row in rows]

    def page(self, gallery: str, after: bytes, most: int) -> list[tuple[bytes, Held | None]]:
        """Return keys and images of the records behind a key, in the order of keys."""
        sql = "SELECT key, image, size FROM record WHERE gallery = ? AND key > ? ORDER BY key LIMIT ?"
        rows = self.store.rows(sql, (self._number(gallery), after, most))
        return [(row["key"], row["image"] and Held(row["image"], row["size"])) for row in rows]

    def change(self, gallery: str) -> int:
        """Return the number of the gallery's latest change; 0 where there never was one."""
        rows = self.store.rows("SELECT change FROM gallery WHERE id = ?", (self._number(gallery),))
        return rows[0]["change"] if rows else 0

    def changes(self, gallery: str, after: int) -> Iterator[Record | Removed] | None:
        """Stream what changed after a change, each key once, by change; None where removals since are forgotten.

        None as well for a change that this store never counted.
        """
        number = self._number(gallery)
        rows = self.store.rows("SELECT change, floor FROM gallery WHERE id = ?", (number,))
        if not rows or not rows[0]["floor"] <= after <= rows[0]["change"]:
            return None
        return self._changes(gallery, number, after)

    def document(self, gallery: str, key: bytes) -> Document | None:
        """Return a record's document; its image field holds a `Held`."""
        rows = self.store.rows(
            "SELECT body, place, image, size FROM record WHERE gallery = ? AND key = ?",
            (self._number(gallery), key),
        )
        return codec.of_row(rows[0]) if rows else None

    def image(self, digest: bytes) -> StoredImage | None:
        """Return an image where it lies; None where it is not held."""
        rows = self.store.rows("SELECT 1 FROM image WHERE digest = ? AND refused IS NULL", (digest,))
        return self.files.image(digest) if rows else None

    def vector(self, digest: bytes, model: str) -> bytes | None:
        """Return the vector that `model` made of an image, as it was stored."""
        rows = self.store.rows("SELECT vector FROM vector WHERE image = ? AND model = ?", (digest, model))
        return rows[0]["vector"] if rows else None

    def put_vectors(self, model: str, vectors: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Store vectors by image digest; None: the model found nothing in it. Counts as a change of its records.

        Vectors of images that no record has (any more) are dropped.
        """
        with self.store.transaction() as connection:
            for digest, vector in vectors:
                rows = connection.execute("SELECT id, gallery, vector_of FROM record WHERE image = ?", (digest,))
                records = rows.fetchall()
                if not records:
                    continue
                connection.execute("REPLACE INTO vector (image, model, vector) VALUES (?, ?, ?)",
                                   (digest, model, vector))  # fmt: skip
                newest = connection.execute(
                    "SELECT model FROM vector WHERE image = ? AND vector IS NOT NULL ORDER BY number DESC",
                    (digest,),
                ).fetchone()
                named = newest["model"] if newest else None
                for record in records:
                    more = (named is not None) - (record["vector_of"] is not None)
                    connection.execute(
                        "UPDATE gallery SET change = change + 1, vectors = vectors + ? WHERE id = ?",
                        (more, record["gallery"]),
                    )
                    connection.execute(
                        "UPDATE record SET vector_of = ?, changed ="
                        " (SELECT change FROM gallery WHERE id = record.gallery) WHERE id = ?",
                        (named, record["id"]),
                    )

    def without_vector(self, model: str, most: int) -> list[bytes]:
        """List digests of usable images that `model` has not seen yet."""
        newest = self.store.rows("SELECT max(number) AS number FROM image")[0]["number"] or 0
        rows = self.store.rows(
            "SELECT number, digest FROM image WHERE number > ? AND refused IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM vector WHERE image = digest AND model = ?)"
            " AND EXISTS (SELECT 1 FROM record WHERE image = digest AND refused IS NULL)"
            " ORDER BY number LIMIT ?",
            (self._looked_at.get(model, 0), model, most),
        )
        # what lies before was looked at; whatever comes, or comes back, gets a higher number
        self._looked_at[model] = rows[0]["number"] - 1 if rows else newest
        return [row["digest"] for row in rows]

    def quarantined(self, after: int = 0, most: int = 100) -> list[sqlite3.Row]:
        """Return what could not be applied, oldest first: number, at, ns, reason, entry (BSON without images)."""
        return self.store.rows(
            "SELECT number, at, ns, reason, entry FROM quarantine WHERE stream_set = ? AND number > ?"
            " ORDER BY number LIMIT ?",
            (self._set_row()["id"], after, most),
        )

    def remove_unused(self) -> int:
        """Remove the files of images that nothing uses; none while somebody reads a snapshot. Returns how many."""
        with self.files.unpinned() as free:
            if not free:
                return 0
            with self.store.transaction() as connection:
                digests = [row["digest"] for row in connection.execute("SELECT digest FROM unlink")]
                self.files.remove(digests)
                self.step("unlinked")
                connection.execute("DELETE FROM unlink")
        return len(digests)

    def tidy(self) -> int:
        """Finish what a killed process left: remove unused and unknown image files. Returns how many.

        For the start of a process and from time to time; reads the names of all image files.
        """
        removed = self.remove_unused()
        with self.files.unpinned() as free, self.store.transaction() as connection:
            if free:
                sql = "SELECT 1 FROM image WHERE digest = ? AND refused IS NULL"
                removed += self.files.sweep(lambda digest: bool(connection.execute(sql, (digest,)).fetchone()))
        patience = self.store.rows("PRAGMA busy_timeout")[0][0]
        self.store.rows("PRAGMA busy_timeout = 0")  # readers that are at it now are not waited for
        self.store.rows("PRAGMA wal_checkpoint(TRUNCATE)")  # removed rows leave the log of SQLite too
        self.store.rows(f"PRAGMA busy_timeout = {patience}")
        return removed

    def close(self) -> None:
        """End the threads; the store stays open."""
        self.intake.close()
        self.files.close()

    def _changes(self, gallery: str, number: int, after: int) -> Iterator[Record | Removed]:
        sql = (
            "SELECT key, image, size, refused, changed, vector_of, 0 AS gone FROM record"
            " WHERE gallery = ?1 AND changed > ?2 UNION ALL"
            " SELECT key, NULL, 0, NULL, changed, NULL, 1 FROM removal"
            " WHERE gallery = ?1 AND changed > ?2 ORDER BY changed LIMIT ?3"
        )
        while rows := self.store.rows(sql, (number, after, _PAGE)):
            for row in rows:
                yield Removed(gallery, row["key"], row["changed"]) if row["gone"] else _record(gallery, row)
            after = rows[-1]["changed"]

    def _set_row(self) -> sqlite3.Row:
        return self.store.rows("SELECT * FROM stream_set WHERE stream = ?", (self.stream,))[0]

    def _number(self, gallery: str) -> int:
        rows = self.store.rows(
            "SELECT gallery.id FROM gallery JOIN stream_set ON stream_set.id = stream_set"
            " WHERE stream = ? AND ns = ?",
            (self.stream, gallery),
        )
        return rows[0]["id"] if rows else -1


def image_check(limits: ImageLimits | None = None) -> Check:
    """Make the check of images that come: decoded within limits, else those of `imaging.decode`."""
    from isthmus.imaging.decode import LIMITS, ImageRefused, check

    def refusal(content: bytes) -> str | None:
        try:
            check(content, limits or LIMITS)
        except ImageRefused as error:
            return error.what
        return None

    return refusal


def _record(gallery: str, row: sqlite3.Row) -> Record:
    image = None if row["image"] is None else Held(row["image"], row["size"])
    return Record(gallery, row["key"], image, row["refused"], row["changed"], row["vector_of"])
