"""The stream that a set makes: its entries since some time, each with the digest that the set had after it.

Entries are kept without their images (`inline`); an image stays held while an entry has it, also when no record
does any more. So the log is what a removal has to reach last: `forget` cuts the log off at its beginning, and who
reads from before that point gets a snapshot instead.

How a stretch was cut is written down, so that it is cut at the same places when it is asked for again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from isthmus.core.digest import Digest, new_key
from isthmus.core.errors import InputError
from isthmus.core.position import Position
from isthmus.gallery.store import inline
from isthmus.gallery.store.change import Change
from isthmus.gallery.store.sqlite import SqliteSet

_PAGE = 200
_HINT = "send a snapshot"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long entries are kept: at most so many, so long (seconds), and so long with an image nobody has now."""

    entries: int = 1_000_000
    age_s: float = 30 * 86_400.0
    removed_s: float = 86_400.0


def begin(change: Change) -> None:
    """Begin the stream in a set that has none yet: a key of its own, epoch 1, nothing in it."""
    if change.position is None:
        change.begin_stream(change.key or new_key())
        change.position = Position(1, 0, change.digest)
        change.connection.execute(
            "UPDATE stream_set SET floor = 0, floor_digest = ? WHERE id = ?", (change.digest.lanes, change.set_id)
        )


def begin_epoch(change: Change, above: int = 0) -> Position:
    """Begin another epoch with the content as it is, numbered above the present one and `above`.

    The entries so far are forgotten: only a snapshot leads into an epoch. Returns where it begins.
    """
    begin(change)
    assert change.position is not None
    execute, number = change.connection.execute, change.set_id
    images = execute("SELECT DISTINCT image FROM entry_image WHERE stream_set = ?", (number,)).fetchall()
    change.images.loosened.update(row["image"] for row in images)
    for table in ("entry_image", "stretch", "entry"):
        execute(f"DELETE FROM {table} WHERE stream_set = ?", (number,))
    change.position = Position(max(change.position.epoch, above) + 1, 0, change.digest)
    execute("UPDATE stream_set SET floor = 0, floor_digest = ? WHERE id = ?", (change.digest.lanes, number))
    return change.position


def append(change: Change, entry: bytes, at: float) -> None:
    """Put an entry that was just applied into the stream; `at` is the time, in seconds since 1970."""
    assert change.position is not None, "the stream was begun"
    spans, images = [], set()
    for start, end in inline.fields(entry):
        found = entry[start:end]
        if len(found) < inline.LEAST_CUT or not found.isascii():
            continue
        ready = change.images.intake.take(found.decode("ascii"))
        if ready is not None and change.images.keep(ready) is None:
            spans.append((end - len(inline.bare(found)), end, ready.digest))
            images.add(ready.digest)
    stub = inline.cut(entry, spans)
    seq = change.position.seq + 1
    execute = change.connection.execute
    execute(
        "INSERT INTO entry (stream_set, seq, at, size, digest, body, cuts) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (change.set_id, seq, at, len(entry), change.digest.lanes, stub.body, stub.pack()),
    )
    for image in sorted(images):
        execute("INSERT INTO entry_image VALUES (?, ?, ?)", (image, change.set_id, seq))
    change.position = Position(change.position.epoch, seq, change.digest)


def forget(change: Change, through: int) -> int:
    """Drop the entries up to a seq, and what only they held. Returns how many."""
    execute, number = change.connection.execute, change.set_id
    row = execute("SELECT digest FROM entry WHERE stream_set = ? AND seq = ?", (number, through)).fetchone()
    if row is None:
        return 0
    images = execute("SELECT image FROM entry_image WHERE stream_set = ? AND seq <= ?", (number, through))
    change.images.loosened.update(row["image"] for row in images.fetchall())
    execute("DELETE FROM entry_image WHERE stream_set = ? AND seq <= ?", (number, through))
    execute("DELETE FROM stretch WHERE stream_set = ? AND since < ?", (number, through))
    dropped = execute("DELETE FROM entry WHERE stream_set = ? AND seq <= ?", (number, through)).rowcount
    execute("UPDATE stream_set SET floor = ?, floor_digest = ? WHERE id = ?", (through, row["digest"], number))
    return dropped


def overdue(change: Change, retention: Retention, now: float) -> int:
    """Return the seq up to which entries are to be forgotten by a retention; 0 where none."""
    number = change.set_id
    latest = change.position.seq if change.position else 0
    rows = change.connection.execute(
        "SELECT max(seq) FROM entry WHERE stream_set = ?1 AND (at < ?2 OR seq <= ?3) UNION ALL"
        " SELECT max(entry.seq) FROM entry_image JOIN entry USING (stream_set, seq)"
        " WHERE stream_set = ?1 AND at < ?4 AND NOT EXISTS"
        " (SELECT 1 FROM record WHERE record.image = entry_image.image)",
        (number, now - retention.age_s, latest - retention.entries, now - retention.removed_s),
    )
    return max((row[0] or 0 for row in rows.fetchall()), default=0)


class Log:
    """Reads the stream of a set."""

    def __init__(self, held: SqliteSet) -> None:
        self._set = held

    def stretch(self, position: Position, most_bytes: int) -> Position | None:
        """Return where the next stretch after a position ends; None at the end of the stream.

        Raises InputError where the stream does not know the position, or not any more.
        """
        with self._set.store.transaction() as connection:
            row = connection.execute("SELECT * FROM stream_set WHERE stream = ?", (self._set.stream,)).fetchone()
            self._known(row["id"], row["epoch"], row["floor"], row["floor_digest"], position)
            number, since = row["id"], position.seq
            if since == row["seq"]:
                return None
            kept = connection.execute(
                "SELECT until FROM stretch WHERE stream_set = ? AND since = ?", (number, since)
            ).fetchone()
            until = kept["until"] if kept else self._until(connection, number, since, most_bytes)
            if kept is None:
                connection.execute("INSERT INTO stretch VALUES (?, ?, ?)", (number, since, until))
            digest = connection.execute(
                "SELECT digest FROM entry WHERE stream_set = ? AND seq = ?", (number, until)
            ).fetchone()
        return Position(position.epoch, until, Digest(digest["digest"]))

    def pending(self, position: Position) -> int:
        """Return how many bytes the entries after a position have. Raises InputError as `stretch` does."""
        with self._set.store.transaction() as connection:
            row = connection.execute("SELECT * FROM stream_set WHERE stream = ?", (self._set.stream,)).fetchone()
            self._known(row["id"], row["epoch"], row["floor"], row["floor_digest"], position)
            sql = "SELECT coalesce(sum(size), 0) AS size FROM entry WHERE stream_set = ? AND seq > ?"
            return int(connection.execute(sql, (row["id"], position.seq)).fetchone()["size"])

    def entries(self, since: int, until: int) -> Iterator[bytes]:
        """Stream the entries after a seq, up to another, whole. Raises InputError where they were forgotten."""
        number = self._set.store.rows("SELECT id FROM stream_set WHERE stream = ?", (self._set.stream,))[0]["id"]
        sql = (
            "SELECT seq, body, cuts FROM entry WHERE stream_set = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        )
        while since < until:
            rows = self._set.store.rows(sql, (number, since, until, _PAGE))
            for row in rows:
                if row["seq"] != since + 1:
                    break
                yield inline.Stub.unpack(row["body"], row["cuts"]).whole(self._set.files.read)
                since += 1
            else:
                if rows:
                    continue
            raise InputError(f"the changes after {since} of {self._set.stream} are no longer kept", _HINT)

    def _until(self, connection: sqlite3.Connection, number: int, since: int, most_bytes: int) -> int:
        total, until = 0, since + 1
        sql = "SELECT seq, size FROM entry WHERE stream_set = ? AND seq > ? ORDER BY seq"
        for row in connection.execute(sql, (number, since)):
            total += row["size"]
            if total > most_bytes:
                break
            until = row["seq"]
        return until

    def _known(self, number: int, epoch: int | None, floor: int, floor_digest: bytes, position: Position) -> None:
        stream = self._set.stream
        if position.epoch != epoch:
            raise InputError(f"{stream} is not in epoch {position.epoch} but {epoch}", _HINT)
        if position.seq < floor:
            raise InputError(f"the changes after {position.seq} of {stream} are no longer kept", _HINT)
        rows = self._set.store.rows(
            "SELECT digest FROM entry WHERE stream_set = ? AND seq = ?", (number, position.seq)
        )
        digest = floor_digest if position.seq == floor else rows[0]["digest"] if rows else None
        if digest != position.digest.lanes:
            raise InputError(f"{stream} was never at {position}", _HINT)
