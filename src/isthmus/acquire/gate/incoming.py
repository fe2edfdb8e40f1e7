"""A set of records that follows a stream (`core.ports.Target`): all of a bundle and its position, or nothing.

Records keep their bodies until `end`; a record's `state` belongs to whoever works on them. A snapshot leaves
what it holds already as it is, with its state.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from isthmus.acquire.delivery.package import STANDARD
from isthmus.acquire.gate.framing import MEMBER, Record, Records
from isthmus.acquire.gate.outgoing import read_blob, write_blob
from isthmus.acquire.gate.schema import migrate
from isthmus.core.digest import Digest, record_hash
from isthmus.core.errors import Corrupt, Diverged, InputError, Refused
from isthmus.core.header import Kind
from isthmus.core.ports import Applied, Delivery
from isthmus.core.position import Position
from isthmus.state.store import Store

NEW, BEGUN, ENDED = 0, 1, 2
"""States of a record: untouched, being worked on, done with."""

Gone = Callable[[sqlite3.Connection, str], None]
"""Is told, in the open transaction, the name of each record that is gone."""

_MOST_SEEN = 1000


def nobody(connection: sqlite3.Connection, name: str) -> None:
    """Do nothing about a record that is gone."""


class Incoming:
    """What a stream holds, as far as it has come. Belongs to the thread of its store."""

    def __init__(
        self, store: Store, stream: str, gone: Gone = nobody, most_body: int = STANDARD.most_body
    ) -> None:
        migrate(store)
        self._store, self._stream, self._gone, self._most = store, stream, gone, most_body

    def position(self, stream: str) -> Position | None:
        """Return where the set stands; None before the first bundle."""
        row = self._follow(stream)
        return None if row is None else Position(row["epoch"], row["seq"], Digest(row["digest"]))

    def seen(self, stream: str, epoch: int, seq: int) -> str | None:
        """Return the digest, as text, that the set had at (epoch, seq); None where it does not know."""
        sql = "SELECT digest FROM gate_seen WHERE stream = ? AND epoch = ? AND seq = ?"
        rows = self._store.rows(sql, (stream, epoch, seq))
        return str(Digest(rows[0]["digest"])) if rows else None

    def apply(self, bundle: Delivery) -> Applied:
        """Apply a bundle that was judged NEXT or SNAPSHOT.

        Raises Diverged, and commits nothing, where the set then has another digest than the header tells; Corrupt
        where the records are none, Refused where an increment has another key, OSError.
        """
        header = bundle.header
        if header.stream != self._stream or header.kind is Kind.HEARTBEAT:
            raise InputError(f"{header.stream} has nothing to apply here", "look at the settings")
        row = self._follow(self._stream)
        whole = header.kind is Kind.SNAPSHOT
        if row is not None and row["key"] != header.key and not whole:
            raise Refused(f"{header.stream} has another key than before", "ask for a snapshot")
        with self._store.transaction() as connection:
            work = _Application(connection, self._stream, header.key, self._gone)
            if row is None or row["key"] != header.key:
                work.forget()
            records = Records(bundle.read(MEMBER), self._most)
            work.whole(records) if whole else work.changes(records)
            if work.digest != header.until.digest:
                raise Diverged(
                    f"after {header.until} of {header.stream} the records are others than the sender's",
                    "ask for a snapshot",
                )
            self._stand(connection, header.until, header.key)
        return Applied(header.until, work.count)

    def _follow(self, stream: str) -> sqlite3.Row | None:
        rows = self._store.rows("SELECT * FROM gate_follow WHERE stream = ?", (stream,))
        return rows[0] if rows else None

    def _stand(self, connection: sqlite3.Connection, at: Position, key: bytes) -> None:
        digest = at.digest.lanes
        connection.execute(
            "REPLACE INTO gate_follow VALUES (?, ?, ?, ?, ?)", (self._stream, key, at.epoch, at.seq, digest)
        )
        connection.execute("REPLACE INTO gate_seen VALUES (?, ?, ?, ?)", (self._stream, at.epoch, at.seq, digest))
        connection.execute(
            "DELETE FROM gate_seen WHERE stream = ?1 AND (epoch, seq) <= (SELECT epoch, seq FROM gate_seen"
            " WHERE stream = ?1 ORDER BY epoch DESC, seq DESC LIMIT 1 OFFSET ?2)",
            (self._stream, _MOST_SEEN),
        )


class _Application:
    """One bundle on its way into an open transaction."""

    def __init__(self, connection: sqlite3.Connection, stream: str, key: bytes, gone: Gone) -> None:
        self._connection, self._stream, self._key, self._gone = connection, stream, key, gone
        row = connection.execute("SELECT digest FROM gate_follow WHERE stream = ?", (stream,)).fetchone()
        self.digest = Digest(row["digest"]) if row else Digest()
        self.count = 0

    def forget(self) -> None:
        """Begin anew: hashes of another key say nothing here."""
        rows = self._connection.execute("SELECT name FROM gate_got WHERE stream = ?", (self._stream,)).fetchall()
        for row in rows:
            self._remove(row["name"])
        self.digest = Digest()

    def changes(self, records: Records) -> None:
        while record := records.next():
            self.count += 1
            if record.gone:
                self._remove(record.name)
            elif not self._add(record, records.body()):
                raise Corrupt(f"{record.name} was put twice", "ask for a snapshot")

    def whole(self, records: Records) -> None:
        self._connection.execute("CREATE TEMP TABLE IF NOT EXISTS gate_present (name TEXT PRIMARY KEY)")
        self._connection.execute("DELETE FROM gate_present")
        while record := records.next():
            if record.gone:
                raise Corrupt("a snapshot with something gone", "look at the sender's version")
            self._connection.execute("INSERT OR IGNORE INTO gate_present VALUES (?)", (record.name,))
            self.count += self._add(record, records.body())
        rows = self._connection.execute(
            "SELECT name FROM gate_got WHERE stream = ? AND name NOT IN (SELECT name FROM gate_present)",
            (self._stream,),
        ).fetchall()
        for row in rows:
            self.count += 1
            self._remove(row["name"])

    def _add(self, record: Record, body: Iterator[bytes]) -> bool:
        """Add a record; False where it is there already (its body is read all the same)."""
        execute = self._connection.execute
        if execute("SELECT 1 FROM gate_got WHERE stream = ? AND name = ?", (self._stream, record.name)).fetchone():
            for _ in body:
                pass
            return False
        number = execute(
            "INSERT INTO gate_got (stream, name, hash, proof, size, state, content)"
            " VALUES (?, ?, x'', x'', ?, ?, zeroblob(?))",
            (self._stream, record.name, record.size, NEW, record.size),
        ).lastrowid
        assert number is not None
        proof = write_blob(self._connection, "gate_got", number, body)
        mark = record_hash(self._key, record.name.encode("ascii"), proof)
        execute("UPDATE gate_got SET hash = ?, proof = ? WHERE id = ?", (mark, proof, number))
        self.digest = self.digest.plus(mark)
        return True

    def _remove(self, name: str) -> None:
        execute = self._connection.execute
        row = execute("SELECT hash FROM gate_got WHERE stream = ? AND name = ?", (self._stream, name)).fetchone()
        if row is None:
            raise Corrupt(f"{name} is gone, but was never there", "ask for a snapshot")
        execute("DELETE FROM gate_got WHERE stream = ? AND name = ?", (self._stream, name))
        self.digest = self.digest.minus(row["hash"])
        self._gone(self._connection, name)


def end(connection: sqlite3.Connection, number: int) -> None:
    """Note that a record is done with; its body is needed no more."""
    connection.execute("UPDATE gate_got SET state = ?, content = x'' WHERE id = ?", (ENDED, number))


def copy_out(store: Store, number: int, into: Path) -> None:
    """Write the body of a record into a file, in pieces."""
    with store.transaction() as connection, into.open("wb") as file:
        for piece in read_blob(connection, "gate_got", number):
            file.write(piece)
