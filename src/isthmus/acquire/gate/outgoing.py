"""A set of records that is sent as a stream: what is put and dropped becomes its changes (`core.ports.Source`).

`put` and `drop` work inside the caller's transaction, so that a record and what it stands for are committed
together. How a stretch was cut is written down, so that it is cut the same again. Changes are forgotten once they
were cut and are beyond a bound; who reads from before that gets a snapshot.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

from blake3 import blake3

from isthmus.acquire.gate.framing import MEMBER, PIECE, Record
from isthmus.acquire.gate.schema import migrate
from isthmus.core.digest import Digest, new_key, record_hash
from isthmus.core.errors import InputError
from isthmus.core.header import Kind
from isthmus.core.ports import Cut
from isthmus.core.position import Position
from isthmus.state.store import Store

_HINT = "send a snapshot"
_FRAME = 64
"""About so many bytes a record has beside its body."""


def begin(store: Store, stream: str) -> None:
    """Begin a stream where it is new: a key of its own, epoch 1, nothing in it."""
    migrate(store)
    with store.transaction() as connection:
        empty = Digest().lanes
        connection.execute(
            "INSERT OR IGNORE INTO gate_stream VALUES (?, ?, 1, 0, ?, 0, ?, 0)", (stream, new_key(), empty, empty)
        )


def put(connection: sqlite3.Connection, stream: str, name: str, pieces: Iterator[bytes], size: int) -> bool:
    """Put a record of `size` bytes into the set; False where one of that name is there already."""
    execute = connection.execute
    if execute("SELECT 1 FROM gate_live WHERE stream = ? AND name = ?", (stream, name)).fetchone():
        return False
    body = execute("INSERT INTO gate_body (content) VALUES (zeroblob(?))", (size,)).lastrowid
    assert body is not None
    proof = write_blob(connection, "gate_body", body, pieces)
    row = execute("SELECT * FROM gate_stream WHERE stream = ?", (stream,)).fetchone()
    mark = record_hash(row["key"], name.encode("ascii"), proof)
    execute("INSERT INTO gate_live VALUES (?, ?, ?, ?, ?)", (stream, name, mark, body, size))
    _change(connection, row, name, body, size, Digest(row["digest"]).plus(mark))
    return True


def drop(connection: sqlite3.Connection, stream: str, name: str) -> bool:
    """Take a record out of the set; False where there is none of that name."""
    execute = connection.execute
    live = execute("SELECT * FROM gate_live WHERE stream = ? AND name = ?", (stream, name)).fetchone()
    if live is None:
        return False
    row = execute("SELECT * FROM gate_stream WHERE stream = ?", (stream,)).fetchone()
    execute("DELETE FROM gate_live WHERE stream = ? AND name = ?", (stream, name))
    _change(connection, row, name, None, -live["size"], Digest(row["digest"]).minus(live["hash"]))
    return True


def write_blob(connection: sqlite3.Connection, table: str, row: int, pieces: Iterator[bytes]) -> bytes:
    """Write the content of a row that was made with room for it; return its BLAKE3. Never whole in memory."""
    whole = blake3()
    with connection.blobopen(table, "content", row) as blob:
        for piece in pieces:
            whole.update(piece)
            blob.write(piece)
    return whole.digest()


def read_blob(connection: sqlite3.Connection, table: str, row: int) -> Iterator[bytes]:
    """Yield the content of a row in pieces."""
    with connection.blobopen(table, "content", row, readonly=True) as blob:
        while piece := blob.read(PIECE):
            yield piece


def _change(
    connection: sqlite3.Connection, row: sqlite3.Row, name: str, body: int | None, weight: int, digest: Digest
) -> None:
    seq = row["seq"] + 1
    connection.execute(
        "INSERT INTO gate_change VALUES (?, ?, ?, ?, ?, ?)",
        (row["stream"], seq, name, body, max(0, weight), digest.lanes),
    )
    connection.execute(
        "UPDATE gate_stream SET seq = ?, digest = ?, bytes = bytes + ? WHERE stream = ?",
        (seq, digest.lanes, weight, row["stream"]),
    )


class Outgoing:
    """The stream of a set (`core.ports.Source`). Belongs to the thread of its store."""

    def __init__(self, store: Store, stream: str) -> None:
        begin(store, stream)
        self._store, self._stream = store, stream
        self._key: bytes = self._row()["key"]

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self._stream

    @property
    def key(self) -> bytes:
        """The key of the stream's digests."""
        return self._key

    def position(self) -> Position:
        """Return the latest position."""
        row = self._row()
        return Position(row["epoch"], row["seq"], Digest(row["digest"]))

    def counts(self) -> Mapping[str, int]:
        """Return how many records the set holds."""
        sql = "SELECT count(*) AS many FROM gate_live WHERE stream = ?"
        return {"records": self._store.rows(sql, (self._stream,))[0]["many"]}

    def after(self, position: Position, most_bytes: int) -> Cut | None:
        """Return the next stretch; None at the end. Raises InputError where it is no longer kept or never was."""
        with self._store.transaction() as connection:
            row = self._known(position)
            if position.seq == row["seq"]:
                return None
            sql = "SELECT until FROM gate_stretch WHERE stream = ? AND since = ?"
            kept = connection.execute(sql, (self._stream, position.seq)).fetchone()
            until = kept["until"] if kept else self._until(position.seq, most_bytes)
            connection.execute(
                "INSERT OR IGNORE INTO gate_stretch VALUES (?, ?, ?)", (self._stream, position.seq, until)
            )
        since = position.seq
        return Cut(
            Kind.INCREMENT,
            position,
            Position(position.epoch, until, Digest(self._digest_at(until) or b"")),
            {MEMBER: lambda: self._changes(since, until)},
            {"changes": until - since},
        )

    def pending(self, position: Position) -> int:
        """Return about how many bytes the changes after a position have. Raises InputError as `after` does."""
        self._known(position)
        sql = "SELECT coalesce(sum(size + ?), 0) AS size FROM gate_change WHERE stream = ? AND seq > ?"
        return int(self._store.rows(sql, (_FRAME, self._stream, position.seq))[0]["size"])

    def snapshot(self) -> Cut:
        """Return the whole set, read at one moment."""
        moment = _Moment(self._store.path, self._stream)
        since = Position(moment.position.epoch, 0)
        return Cut(Kind.SNAPSHOT, since, moment.position, {MEMBER: moment.records}, {"records": moment.count})

    def trim(self, most_changes: int, most_bytes: int) -> int:
        """Forget changes that were cut and are beyond these bounds, oldest first; return how many."""
        with self._store.transaction() as connection:
            execute, row = connection.execute, self._row()
            cut = execute("SELECT max(until) FROM gate_stretch WHERE stream = ?", (self._stream,)).fetchone()[0]
            total, floor = 0, row["floor"]
            sql = "SELECT seq, size FROM gate_change WHERE stream = ? AND seq <= ? ORDER BY seq DESC"
            for place, change in enumerate(execute(sql, (self._stream, cut or 0))):
                total += change["size"]
                if place >= most_changes or total > most_bytes:
                    floor = change["seq"]
                    break
            if floor <= row["floor"]:
                return 0
            digest = self._digest_at(floor)
            execute(
                "DELETE FROM gate_body WHERE id IN (SELECT body FROM gate_change WHERE stream = ? AND seq <= ?"
                " AND body IS NOT NULL) AND id NOT IN (SELECT body FROM gate_live)",
                (self._stream, floor),
            )
            gone = execute("DELETE FROM gate_change WHERE stream = ? AND seq <= ?", (self._stream, floor)).rowcount
            execute("DELETE FROM gate_stretch WHERE stream = ? AND since < ?", (self._stream, floor))
            execute(
                "UPDATE gate_stream SET floor = ?, floor_digest = ? WHERE stream = ?",
                (floor, digest, self._stream),
            )
        return gone

    def begin_epoch(self, above: int = 0) -> Position:
        """Begin another epoch with the records as they are, numbered above the present one and `above`.

        For a history that is not the one which the receiver knows: restored from a backup, or made anew. The
        changes so far are forgotten; a snapshot brings the receiver into the epoch. Returns where it begins.
        """
        with self._store.transaction() as connection:
            execute, row = connection.execute, self._row()
            execute(
                "DELETE FROM gate_body WHERE id IN (SELECT body FROM gate_change WHERE stream = ?)"
                " AND id NOT IN (SELECT body FROM gate_live)",
                (self._stream,),
            )
            execute("DELETE FROM gate_change WHERE stream = ?", (self._stream,))
            execute("DELETE FROM gate_stretch WHERE stream = ?", (self._stream,))
            epoch = max(row["epoch"], above) + 1
            execute(
                "UPDATE gate_stream SET epoch = ?, seq = 0, floor = 0, floor_digest = digest WHERE stream = ?",
                (epoch, self._stream),
            )
        return Position(epoch, 0, Digest(row["digest"]))

    def _changes(self, since: int, until: int) -> Iterator[bytes]:
        reader = _reader(self._store.path)
        try:
            sql = "SELECT * FROM gate_change WHERE stream = ? AND seq > ? AND seq <= ? ORDER BY seq"
            found = 0
            for row in reader.execute(sql, (self._stream, since, until)).fetchall():
                found += 1
                gone = row["body"] is None
                body: Iterator[bytes] = iter(()) if gone else read_blob(reader, "gate_body", row["body"])
                yield from Record(row["name"], gone, row["size"]).stretches(body)
        finally:
            reader.close()
        if found != until - since:
            raise InputError(f"the changes after {since} of {self._stream} are no longer kept", _HINT)

    def _row(self) -> sqlite3.Row:
        return self._store.rows("SELECT * FROM gate_stream WHERE stream = ?", (self._stream,))[0]

    def _known(self, position: Position) -> sqlite3.Row:
        row = self._row()
        if position.epoch != row["epoch"]:
            raise InputError(f"{self._stream} is not in epoch {position.epoch} but {row['epoch']}", _HINT)
        if position.seq < row["floor"]:
            raise InputError(f"the changes after {position.seq} of {self._stream} are no longer kept", _HINT)
        if position.seq > row["seq"] or self._digest_at(position.seq) != position.digest.lanes:
            raise InputError(f"{self._stream} was never at {position}", _HINT)
        return row

    def _digest_at(self, seq: int) -> bytes | None:
        row = self._row()
        if seq == row["floor"]:
            return bytes(row["floor_digest"])
        sql = "SELECT digest FROM gate_change WHERE stream = ? AND seq = ?"
        found = self._store.rows(sql, (self._stream, seq))
        return bytes(found[0]["digest"]) if found else None

    def _until(self, since: int, most_bytes: int) -> int:
        total, until = 0, since + 1
        sql = "SELECT seq, size FROM gate_change WHERE stream = ? AND seq > ? ORDER BY seq"
        for row in self._store.rows(sql, (self._stream, since)):
            total += row["size"] + _FRAME
            if total > most_bytes:
                break
            until = max(until, row["seq"])
        return until


class _Moment:
    """The set at one moment, for as long as this is held."""

    def __init__(self, path: Path, stream: str) -> None:
        self._reader, self._stream = _reader(path), stream
        weakref.finalize(self, self._reader.close)
        self._reader.execute("BEGIN")
        row = self._reader.execute("SELECT * FROM gate_stream WHERE stream = ?", (stream,)).fetchone()
        self.position = Position(row["epoch"], row["seq"], Digest(row["digest"]))
        sql = "SELECT count(*) FROM gate_live WHERE stream = ?"
        self.count: int = self._reader.execute(sql, (stream,)).fetchone()[0]

    def records(self) -> Iterator[bytes]:
        sql = "SELECT name, body, size FROM gate_live WHERE stream = ? ORDER BY name"
        for row in self._reader.execute(sql, (self._stream,)):
            yield from Record(row["name"], False, row["size"]).stretches(
                read_blob(self._reader, "gate_body", row["body"])
            )


def _reader(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    return connection
