"""What an open transaction of the embedded store keeps besides documents: positions, what waits, quarantine."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from isthmus.core.position import Position
from isthmus.gallery.store.quarantine import without_images


class Notes:
    """The waiting operations (`gallery.ports.Waiting`), past positions, removals and quarantine of one set."""

    def __init__(self, connection: sqlite3.Connection, set_id: int) -> None:
        self._connection, self.set_id = connection, set_id
        self.position: Position | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        """The transaction that all is kept in."""
        return self._connection

    def add(self, transaction: str, entry: bytes) -> None:
        """Keep one more entry (its BSON) of an undecided transaction."""
        self.connection.execute(
            "INSERT INTO waiting (stream_set, transaction_id, entry) VALUES (?, ?, ?)",
            (self.set_id, transaction, entry),
        )

    def entries(self, transaction: str) -> list[bytes]:
        """Return what was kept, in the order in which it was added."""
        sql = "SELECT entry FROM waiting WHERE stream_set = ? AND transaction_id = ? ORDER BY number"
        return [row["entry"] for row in self._all(sql, self.set_id, transaction)]

    def forget(self, transaction: str) -> None:
        """Drop what was kept."""
        self.connection.execute(
            "DELETE FROM waiting WHERE stream_set = ? AND transaction_id = ?", (self.set_id, transaction)
        )

    def held(self) -> list[tuple[str, int, bytes]]:
        """Tell of each transaction its name, how many bytes it holds, and its first entry; sorted by name."""
        sql = (  # SQLite takes `entry` from the row that has the least number
            "SELECT transaction_id, SUM(LENGTH(entry)) AS size, entry, MIN(number) FROM waiting"
            " WHERE stream_set = ? GROUP BY transaction_id ORDER BY transaction_id"
        )
        return [(row["transaction_id"], row["size"], row["entry"]) for row in self._all(sql, self.set_id)]

    def forget_all(self) -> None:
        """Drop what was kept of every transaction."""
        self.connection.execute("DELETE FROM waiting WHERE stream_set = ?", (self.set_id,))

    def note_position(self, most: int) -> None:
        """Remember the digest at the present position, and so many of those before."""
        assert self.position is not None
        execute, at = self.connection.execute, self.position
        execute("REPLACE INTO stream_seen VALUES (?, ?, ?, ?)", (self.set_id, at.epoch, at.seq, str(at.digest)))
        oldest = execute(
            "SELECT epoch, seq FROM stream_seen WHERE stream_set = ? ORDER BY epoch DESC, seq DESC"
            " LIMIT 1 OFFSET ?",
            (self.set_id, most),
        ).fetchone()
        if oldest is not None:
            execute("DELETE FROM stream_seen WHERE stream_set = ? AND (epoch, seq) <= (?, ?)",
                    (self.set_id, oldest["epoch"], oldest["seq"]))  # fmt: skip

    def set_aside(self, ns: str, reason: str, entry: bytes, at: datetime) -> None:
        """Keep an operation that cannot be applied, with its reason, without its images."""
        self.connection.execute(
            "INSERT INTO quarantine (stream_set, at, ns, reason, entry) VALUES (?, ?, ?, ?, ?)",
            (self.set_id, at.isoformat(), ns, reason, without_images(entry)),
        )

    def bound_quarantine(self, most: int) -> None:
        """Forget the oldest of more than so many operations that were set aside."""
        self.connection.execute(
            "DELETE FROM quarantine WHERE stream_set = ?1 AND number <= (SELECT number FROM quarantine"
            " WHERE stream_set = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            (self.set_id, most),
        )

    def bound_removals(self, gallery: int, most: int) -> None:
        """Forget the oldest of more than so many keys that are gone; who is behind them compares everything."""
        row = self.connection.execute(
            "SELECT changed FROM removal WHERE gallery = ? ORDER BY changed DESC LIMIT 1 OFFSET ?", (gallery, most)
        ).fetchone()
        if row is not None:
            values = (gallery, row["changed"])
            self.connection.execute("DELETE FROM removal WHERE gallery = ? AND changed <= ?", values)
            self.connection.execute("UPDATE gallery SET floor = max(floor, ?) WHERE id = ?", values[::-1])

    def _all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self.connection.execute(sql, values).fetchall()
