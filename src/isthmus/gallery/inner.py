"""The inner site: gallery set 1, where every change becomes an entry of the stream in the same transaction.

A change is written as an oplog entry first and then applied by the same engine that applies it everywhere else.
Images are checked before they enter: what devices would refuse is refused here, with the reason.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bson.binary import Binary
from bson.timestamp import Timestamp

from isthmus.core.errors import InputError, UnknownName
from isthmus.core.ports import Clock
from isthmus.core.position import Position
from isthmus.core.progress import Progress, Report, silent
from isthmus.gallery import folder as folders
from isthmus.gallery.folder import Found, Imported
from isthmus.gallery.galleries import document_of, gallery_name, record_id
from isthmus.gallery.oplog import entry as oplog
from isthmus.gallery.oplog.engine import Engine
from isthmus.gallery.record import IMAGE_FIELD, Document, GalleryStat, Held
from isthmus.gallery.store import codec, inline, log
from isthmus.gallery.store.change import Change
from isthmus.gallery.store.intake import Check, Intake
from isthmus.gallery.store.sqlite import SqliteSet, image_check
from isthmus.gallery.target import EVERYTHING
from isthmus.state.audit import Audit

_OWN_SOURCE = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A record as the inner site lists it: `image` is the BLAKE3 of its image in hexadecimal digits, or None."""

    id: Any
    image: str | None
    size: int
    attributes: Mapping[str, Any]


class InnerSite:
    """Changes gallery set 1 for a person, `who`, whose name goes into the audit log.

    A gallery is named `<database>.<gallery>`; ids are texts. `check` stands in for the standard limits of images.
    Belongs to the thread that opened the store.
    """

    def __init__(
        self, held: SqliteSet, clock: Clock, who: str, audit: Audit | None = None, check: Check | None = None
    ) -> None:
        self._set, self._clock, self._who = held, clock, who
        self._audit = audit or Audit(held.store, clock)
        self._check = check or image_check()
        with held.changing() as change:
            log.begin(change)

    @property
    def intake(self) -> Intake:
        """What makes images ready, for whoever adds many."""
        return self._set.intake

    def add(self, gallery: str, id: str, image: bytes | None, attributes: Mapping[str, Any] | None = None) -> None:
        """Add a record. Raises InputError where the id is taken, the image is refused, or the record too large."""
        ready = self.checked(image)
        with self._set.changing() as change:
            if change.get(gallery_name(gallery), record_id(id)) is not None:
                raise InputError(f"{gallery} has a record {id!r} already", "replace it, or choose another id")
            self.write(change, gallery, id, ready, attributes or {}, new=True)

    def replace(
        self,
        gallery: str,
        id: str,
        image: bytes | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Give a record another image, or other attributes, or both; what is None stays as it is.

        Raises UnknownName where there is no such record, InputError where the image is refused.
        """
        ready = self.checked(image)
        with self._set.changing() as change:
            old = self._found(change, gallery, id)
            kept = old.pop(IMAGE_FIELD, None)
            del old["_id"]
            taken = ready if ready is not None else self._held(kept)
            self.write(change, gallery, id, taken, old if attributes is None else attributes, new=False)

    def remove(self, gallery: str, id: str) -> None:
        """Remove a record, its image and its vectors. Raises UnknownName where there is none."""
        with self._set.changing() as change:
            self.erase(change, gallery, id)

    def import_folder(self, gallery: str, folder: Path, report: Report = silent) -> Imported:
        """Make a record of each image file below a folder, its id the path without the ending.

        A record with that id gets the image in place of its own; where it has this image already, nothing is
        written. Committed every few files: an import that was cut short goes on when it is asked for again.
        Files that are no usable images are passed over and told of. Raises InputError, OSError (the disk is full).
        """
        gallery_name(gallery)
        files = folders.image_files(folder)
        done = Imported()
        for batch in folders.read(files, self._check, lambda id: self._digest_of(gallery, id)):
            done = self._import(gallery, batch, done)
            count = done.added + done.replaced + done.unchanged + len(done.refused)
            report(Progress("import", count, len(files), "files", batch[-1].id))
        return done

    def list(self, gallery: str, after: str | None = None, most: int = 100) -> Sequence[Listed]:
        """Return records in the order of their keys, from behind one of them. Raises UnknownName."""
        known = [stat.gallery for stat in self.stat()]
        if not known:
            raise UnknownName("there is no gallery here yet", "make one: isthmus gallery add, or import")
        if gallery not in known:
            raise UnknownName.among("gallery", gallery, known)
        first = b"" if after is None else codec.key_of(after)
        return [
            _listed(document, image)
            for key, image in self._set.page(gallery, first, most)
            if (document := self._set.document(gallery, key)) is not None
        ]

    def stat(self) -> Sequence[GalleryStat]:
        """Tell what each gallery holds, sorted by name."""
        return self._set.galleries()

    def tidy(self, retention: log.Retention | None = None) -> int:
        """Forget entries beyond the retention and remove image files that nothing uses. Returns how many files."""
        with self._set.changing() as change:
            through = log.overdue(change, retention or log.Retention(), self._clock.now().timestamp())
            log.forget(change, through)
        return change.files_removed + self._set.tidy()

    def begin_epoch(self, above: int = 0) -> Position:
        """Begin another epoch of the stream, numbered above the present one and `above`; returns where it begins.

        For a set whose history is not the one that receivers know: restored from a backup, or made anew. Set 1
        itself stays as it is; a snapshot brings receivers into the epoch, and they refuse the earlier ones then.
        """
        with self._set.changing() as change:
            position = log.begin_epoch(change, above)
            self._audit.note(self._who, "begin epoch", subject=str(position.epoch), connection=change.connection)
        return position

    def checked(self, image: bytes | None) -> bytes | None:
        """Return an image that may enter. Raises InputError with the reason where it may not."""
        if image is not None and (reason := self._check(image)) is not None:
            raise InputError(f"the image is refused: {reason}", "give another one")
        return image

    def write(
        self,
        change: Change,
        gallery: str,
        id: str,
        image: bytes | str | None,
        attributes: Mapping[str, Any],
        *,
        new: bool,
    ) -> None:
        """Write a record that was checked, with its entry and its note, into an open transaction."""
        text = inline.encoded(image).decode("ascii") if isinstance(image, bytes) else image
        document = document_of(id, text, attributes)
        ts, now = self._time(change)
        make = oplog.make_insert if new else oplog.make_replace
        entry = make(gallery_name(gallery), document, ts, now, Binary(change.ui(gallery), 4))
        self._take(change, entry, "add" if new else "replace", gallery, id)

    def erase(self, change: Change, gallery: str, id: str) -> None:
        """Remove a record in an open transaction. Raises UnknownName where there is none."""
        self._found(change, gallery, id)
        ts, now = self._time(change)
        entry = oplog.make_delete(gallery, id, ts, now, Binary(change.ui(gallery), 4))
        self._take(change, entry, "remove", gallery, id)

    def _import(self, gallery: str, batch: Sequence[Found], done: Imported) -> Imported:
        added, replaced, unchanged, refused = done.added, done.replaced, done.unchanged, [*done.refused]
        with self._set.changing() as change:
            for found in batch:
                if found.refused is not None:
                    refused.append((found.path, found.refused))
                    continue
                old = change.get(gallery, found.id)
                image = old.pop(IMAGE_FIELD, None) if old else None
                if isinstance(image, Held) and image.text is None and image.digest == found.digest:
                    unchanged += 1
                    continue
                attributes = {name: value for name, value in (old or {}).items() if name != "_id"}
                try:
                    self.write(change, gallery, found.id, found.image, attributes, new=old is None)
                except InputError as error:  # too large for an entry, an id that cannot be one
                    refused.append((found.path, error.what))
                    continue
                added, replaced = added + (old is None), replaced + (old is not None)
        return Imported(added, replaced, unchanged, tuple(refused))

    def _digest_of(self, gallery: str, id: str) -> bytes | None:
        document = self._set.document(gallery, codec.key_of(id))
        image = (document or {}).get(IMAGE_FIELD)
        return image.digest if isinstance(image, Held) and image.text is None else None

    def _take(self, change: Change, raw: bytes, act: str, gallery: str, id: str) -> None:
        for entry in self._set.intake.ahead([oplog.RawEntry(raw)]):
            outcome = Engine(change, change, EVERYTHING).apply(entry)
            if outcome.refused:
                raise InputError(
                    f"{id!r} of {gallery} cannot be changed: {outcome.refused[0].reason}", "change the record"
                )
            log.append(change, raw, self._clock.now().timestamp())
        self._audit.note(self._who, act, gallery, id, connection=change.connection)
        self._set.step("applied")

    def _held(self, kept: object) -> bytes | str | None:
        if not isinstance(kept, Held):
            return None
        return self._set.files.read(kept.digest) if kept.text is None else kept.text

    @staticmethod
    def _found(change: Change, gallery: str, id: str) -> Document:
        document = change.get(gallery_name(gallery), record_id(id))
        if document is None:
            raise UnknownName(f"{gallery} has no record {id!r}", "`isthmus gallery list` shows those it has")
        return document

    def _time(self, change: Change) -> tuple[Timestamp, Any]:
        """Return the next place in the oplog, always after the last one, and the time now."""
        now = self._clock.now()
        seconds, number = int(now.timestamp()), 1
        row = (
            change.connection.execute(  # behind what came from elsewhere too: an older time loses against a rename
                "SELECT time, inc FROM resume WHERE stream_set = ? ORDER BY time DESC, inc DESC LIMIT 1",
                (change.set_id,),
            ).fetchone()
        )
        if row is not None and row["time"] >= seconds:
            seconds, number = row["time"], row["inc"] + 1
        note_resume(change.connection, change.set_id, _OWN_SOURCE, Timestamp(seconds, number))
        return Timestamp(seconds, number), now


def resumed(connection: sqlite3.Connection, set_id: int, source: str) -> Timestamp | None:
    """Return the `ts` of the last entry that was taken from a source."""
    sql = "SELECT time, inc FROM resume WHERE stream_set = ? AND source = ?"
    row = connection.execute(sql, (set_id, source)).fetchone()
    return None if row is None else Timestamp(row["time"], row["inc"])


def note_resume(connection: sqlite3.Connection, set_id: int, source: str, ts: Timestamp) -> None:
    """Remember the `ts` of the last entry that was taken from a source, in the open transaction."""
    connection.execute("REPLACE INTO resume VALUES (?, ?, ?, ?)", (set_id, source, ts.time, ts.inc))


def _listed(document: Document, image: Held | None) -> Listed:
    rest = {name: value for name, value in document.items() if name not in ("_id", IMAGE_FIELD)}
    text = document.get(IMAGE_FIELD)
    if isinstance(text, Held) and text.text is not None:
        rest[IMAGE_FIELD] = text.text
    return Listed(document["_id"], image.digest.hex() if image else None, image.size if image else 0, rest)
