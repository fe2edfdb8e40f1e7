"""The source of the stream: what set 1 went through, and what it holds, cut for the gate.

A snapshot is read at one moment: a read transaction of its own stays open, and images stay in place, as long as
somebody holds the cut. Entries and documents get their images back on the way out, each proven by its digest.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import bson
from bson.int64 import Int64
from bson.timestamp import Timestamp

from isthmus.core.digest import Digest
from isthmus.core.header import Kind
from isthmus.core.ports import Cut
from isthmus.core.position import Position
from isthmus.gallery.oplog.entry import CODEC
from isthmus.gallery.record import Document
from isthmus.gallery.store import codec, inline, log
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.gallery.target import MEMBER, WAITING

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OplogSource:
    """The stream of a set that makes one (`core.ports.Source`). Begins the stream where the set is new."""

    def __init__(self, held: SqliteSet) -> None:
        self._set, self._log = held, log.Log(held)
        with held.changing() as change:
            log.begin(change)
            assert change.key is not None
            self._key = change.key

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self._set.stream

    @property
    def key(self) -> bytes:
        """The key of the stream's digests."""
        return self._key

    def position(self) -> Position:
        """Return the latest position."""
        position = self._set.position()
        assert position is not None
        return position

    def counts(self) -> Mapping[str, int]:
        """Return how many galleries and records the set holds, in the words of a snapshot."""
        galleries = self._set.store.rows(
            "SELECT records FROM gallery JOIN stream_set ON stream_set.id = gallery.stream_set"
            " WHERE stream_set.stream = ? AND gallery.live",
            (self._set.stream,),
        )
        return {"galleries": len(galleries), "records": sum(row["records"] for row in galleries)}

    def after(self, position: Position, most_bytes: int) -> Cut | None:
        """Return the next stretch; None at the end.

        Raises InputError where the changes after `position` are no longer kept or never were. Reading its member
        raises Corrupt where an image was damaged on the disk.
        """
        until = self._log.stretch(position, most_bytes)
        if until is None:
            return None
        return Cut(
            Kind.INCREMENT,
            position,
            until,
            {MEMBER: lambda: self._log.entries(position.seq, until.seq)},
            {"entries": until.seq - position.seq},
        )

    def pending(self, position: Position) -> int:
        """Return how many bytes the entries after `position` have. Raises InputError as `after` does."""
        return self._log.pending(position)

    def snapshot(self) -> Cut:
        """Return the whole content at the latest position, read at one moment."""
        moment = _Moment(self._set)
        since = Position(moment.position.epoch, 0)
        return Cut(Kind.SNAPSHOT, since, moment.position, {MEMBER: moment.entries}, moment.counts)


class _Moment:
    """The content of a set at one moment, for as long as this is held."""

    def __init__(self, held: SqliteSet) -> None:
        self._files = held.files
        self._pin = held.files.pin()  # before the moment: what is removed from now on stays readable
        path = held.store.path.resolve()
        self._connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        weakref.finalize(self, self._connection.close)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("BEGIN")
        row = self._connection.execute("SELECT * FROM stream_set WHERE stream = ?", (held.stream,)).fetchone()
        self._set_id: int = row["id"]
        self.position = Position(row["epoch"], row["seq"], Digest(row["digest"]))
        galleries = self._rows("SELECT * FROM gallery WHERE stream_set = ? AND live ORDER BY ns", self._set_id)
        self._galleries = list(galleries)
        self.counts = {
            "galleries": len(self._galleries),
            "records": sum(gallery["records"] for gallery in self._galleries),
        }

    def entries(self) -> Iterator[bytes]:
        """Write empty collections, live documents, and what waits for later entries, as entries."""
        number = 0
        for gallery in self._galleries:
            if not gallery["records"]:
                number += 1
                database, _, collection = gallery["ns"].partition(".")
                yield _entry("c", f"{database}.$cmd", {"create": collection}, number)
        for gallery in self._galleries:
            sql = "SELECT body, place, image FROM record WHERE gallery = ? ORDER BY key"
            for row in self._rows(sql, gallery["id"]):
                number += 1
                yield _entry("i", gallery["ns"], self._document(row), number)
        sql = "SELECT transaction_id, entry FROM waiting WHERE stream_set = ? ORDER BY number"
        for row in self._rows(sql, self._set_id):
            number += 1
            kept = {"msg": WAITING, "transaction": row["transaction_id"], "entry": row["entry"]}
            yield _entry("n", "", kept, number)

    def _document(self, row: sqlite3.Row) -> Document:
        if row["place"] == codec.NOWHERE:
            return codec.document_of(row["body"])
        text = inline.encoded(self._files.read(row["image"])).decode("ascii")
        return codec.whole(row["body"], row["place"], text)

    def _rows(self, sql: str, value: int) -> Iterator[sqlite3.Row]:
        return iter(self._connection.execute(sql, (value,)))


def _entry(op: str, ns: str, o: Document, number: int) -> bytes:
    """Write an entry of a snapshot: the document exactly as it is held, the order of its fields included."""
    entry = {
        "op": op,
        "ns": ns,
        "o": o,
        "ts": Timestamp(0, number),
        "t": Int64(1),
        "v": Int64(2),
        "wall": _EPOCH,
    }
    return bson.encode(entry, codec_options=CODEC)
