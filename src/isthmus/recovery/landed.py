"""What a standby knows: where it stands, the barrier that it shows, its restore rounds, what it misses.

All in the site's SQLite file. The transaction that ends a round writes the barrier, the position and the round's
state: so a round was landed or it was not, whatever dies.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from isthmus.core.position import Position
from isthmus.recovery.barrier import Barrier, Change, HeldFile, TableAt
from isthmus.recovery.states import RESTORE
from isthmus.state.store import Store

REMEMBERED = 1000
"""So many ended rounds stay in the list."""
_SEEN = 20_000

_STEPS = (
    """CREATE TABLE landing_stream (
        stream TEXT PRIMARY KEY,
        position TEXT,
        barrier TEXT NOT NULL,
        barrier_at TEXT NOT NULL,
        event TEXT NOT NULL
    );
    CREATE TABLE landing_seen (
        stream TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, digest TEXT NOT NULL,
        PRIMARY KEY (stream, epoch, seq)
    );
    CREATE TABLE landing_table (identity TEXT PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE landing_file (
        identity TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL,
        PRIMARY KEY (identity, path)
    );
    CREATE INDEX landing_file_digest ON landing_file (digest);
    CREATE TABLE landing_missing (digest BLOB PRIMARY KEY);
    CREATE TABLE landing_garbage (path TEXT PRIMARY KEY, since TEXT NOT NULL);
    CREATE TABLE landing_round (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,
        prior TEXT NOT NULL,
        state TEXT NOT NULL,
        parts INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        begun TEXT NOT NULL,
        ended TEXT,
        error TEXT NOT NULL
    )""",
)


@dataclass(frozen=True, slots=True)
class Landed:
    """A restore round. `bytes` is what of contents came with it; `error` says what keeps it."""

    number: int
    key: str
    prior: str
    state: str
    parts: int
    bytes: int
    begun: datetime
    ended: datetime | None = None
    error: str = ""


class Landings:
    """The rows of one stream's landing."""

    def __init__(self, store: Store, stream: str) -> None:
        self._store, self._stream = store, stream
        store.migrate("recovery landing", _STEPS)
        with store.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO landing_stream VALUES (?, NULL, '', '', '')", (stream,))

    def position(self) -> Position | None:
        """Return where the stream stands; None before its first bundle."""
        text = self._row()["position"]
        return Position.of_json(json.loads(text)) if text else None

    def seen(self, epoch: int, seq: int) -> str | None:
        """Return the digest that the stream had at (epoch, seq); None where that is not known."""
        rows = self._store.rows(
            "SELECT digest FROM landing_seen WHERE stream = ? AND epoch = ? AND seq = ?",
            (self._stream, epoch, seq),
        )
        return str(rows[0]["digest"]) if rows else None

    def event(self) -> str:
        """Return what the last landed round was for beside the tables."""
        return str(self._row()["event"])

    def barrier(self) -> Barrier | None:
        """Return the barrier that is shown; None before the first."""
        row = self._row()
        if not row["barrier"]:
            return None
        tables: dict[str, TableAt] = {}
        files: dict[str, dict[str, HeldFile]] = {}
        for one in self._store.rows("SELECT * FROM landing_table"):
            body = json.loads(one["body"])
            tables[one["identity"]] = TableAt(**{**body, "grants": tuple(map(tuple, body["grants"]))})
            files[one["identity"]] = {}
        for one in self._store.rows("SELECT * FROM landing_file"):
            files[one["identity"]][one["path"]] = HeldFile(one["path"], one["size"], one["digest"])
        return Barrier(row["barrier"], datetime.fromisoformat(row["barrier_at"]), tables, files)

    def lying(self, digest: bytes) -> list[tuple[str, str]]:
        """Return where a content is held: identities of tables and paths in them."""
        rows = self._store.rows("SELECT identity, path FROM landing_file WHERE digest = ?", (digest,))
        return [(row["identity"], row["path"]) for row in rows]

    def name_of(self, identity: str) -> str:
        """Return the name of a shown table; empty where none has the identity."""
        rows = self._store.rows("SELECT body FROM landing_table WHERE identity = ?", (identity,))
        return str(json.loads(rows[0]["body"])["name"]) if rows else ""

    def missing(self) -> list[bytes]:
        """Return the contents that have to come again."""
        return [row["digest"] for row in self._store.rows("SELECT digest FROM landing_missing ORDER BY digest")]

    def miss(self, digests: Iterable[bytes]) -> None:
        """Note contents that have to come again."""
        with self._store.transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO landing_missing VALUES (?)", ((one,) for one in digests))

    def found(self, digests: Iterable[bytes]) -> None:
        """Forget that contents were missing."""
        with self._store.transaction() as connection:
            connection.executemany("DELETE FROM landing_missing WHERE digest = ?", ((one,) for one in digests))

    def stand(self, connection: sqlite3.Connection, position: Position) -> None:
        """Write a position down, in an open transaction."""
        connection.execute(
            "UPDATE landing_stream SET position = ? WHERE stream = ?",
            (json.dumps(position.to_json()), self._stream),
        )
        connection.execute(
            "REPLACE INTO landing_seen VALUES (?, ?, ?, ?)",
            (self._stream, *position.order, str(position.digest)),
        )
        connection.execute(
            "DELETE FROM landing_seen WHERE stream = ? AND (epoch < ? OR seq <= ?)",
            (self._stream, position.epoch, position.seq - _SEEN),
        )

    def show(self, connection: sqlite3.Connection, old: Barrier | None, new: Barrier, event: str) -> None:
        """Write the shown barrier down, in an open transaction: only what differs from the old one."""
        change = Change.between(old, new)
        gone = old.tables.keys() - new.tables.keys() if old else set()
        for table in ("landing_table", "landing_file"):
            connection.executemany(f"DELETE FROM {table} WHERE identity = ?", ((one,) for one in gone))
        connection.executemany(
            "DELETE FROM landing_file WHERE identity = ? AND path = ?",
            ((identity, path) for identity, paths in change.removed.items() for path in paths),
        )
        connection.executemany(
            "REPLACE INTO landing_table VALUES (?, ?)",
            ((one.identity, json.dumps(asdict(one))) for one in change.tables),
        )
        connection.executemany(
            "REPLACE INTO landing_file VALUES (?, ?, ?, ?)",
            (
                (identity, file.path, file.size, file.digest)
                for identity, files in change.added.items()
                for file in files
            ),
        )
        connection.execute(
            "UPDATE landing_stream SET barrier = ?, barrier_at = ?, event = ? WHERE stream = ?",
            (new.key, new.at.isoformat(), event, self._stream),
        )

    def discard(self, connection: sqlite3.Connection, paths: Iterable[str], now: datetime) -> None:
        """Note files and folders, relative to the root, that nothing shows any more."""
        connection.executemany(
            "INSERT OR IGNORE INTO landing_garbage VALUES (?, ?)", ((path, now.isoformat()) for path in paths)
        )

    def garbage(self) -> list[tuple[str, datetime]]:
        """Return what nothing shows any more, and since when."""
        rows = self._store.rows("SELECT path, since FROM landing_garbage ORDER BY path DESC")
        return [(row["path"], datetime.fromisoformat(row["since"])) for row in rows]

    def cleared(self, paths: Iterable[str]) -> None:
        """Forget garbage that was removed, or is no garbage any more."""
        with self._store.transaction() as connection:
            connection.executemany("DELETE FROM landing_garbage WHERE path = ?", ((path,) for path in paths))

    def rounds(self) -> list[Landed]:
        """List the restore rounds in the order in which they began."""
        rows = self._store.rows("SELECT * FROM landing_round ORDER BY number")
        return [
            Landed(
                row["number"],
                row["key"],
                row["prior"],
                row["state"],
                row["parts"],
                row["bytes"],
                datetime.fromisoformat(row["begun"]),
                row["ended"] and datetime.fromisoformat(row["ended"]),
                row["error"],
            )
            for row in rows
        ]

    def current(self) -> Landed | None:
        """Return the round that has not ended; None where there is none."""
        open_ = [one for one in self.rounds() if one.state not in ("FINISH", "DROPPED")]
        return open_[-1] if open_ else None

    def receive(self, connection: sqlite3.Connection, key: str, size: int, now: datetime) -> None:
        """Note that a part of a round has come, in an open transaction."""
        row = self.current()
        if row is not None and row.key != key:
            self._set(connection, row, RESTORE.next("RECEIVED", "begun anew"), now)
            row = None
        if row is None:
            connection.execute(
                "INSERT INTO landing_round (key, prior, state, parts, bytes, begun, error)"
                " VALUES (?, '', ?, 1, ?, ?, '')",
                (key, RESTORE.initial, size, now.isoformat()),
            )
            return
        connection.execute(
            "UPDATE landing_round SET parts = parts + 1, bytes = bytes + ?, error = '' WHERE number = ?",
            (size, row.number),
        )

    def go(self, state: str, now: datetime, prior: str | None = None, error: str = "") -> None:
        """Write down which state the round that has not ended is in; a crash may have left it in a later one."""
        row = self.current()
        if row is None:
            return
        with self._store.transaction() as connection:
            self._set(connection, row, state, now, prior, error)

    def finish(self, connection: sqlite3.Connection, now: datetime) -> None:
        """End the round, in an open transaction."""
        row = self.current()
        if row is not None:
            self._set(connection, row, RESTORE.next("CONFIRM", "confirmed"), now)

    def drop(self, connection: sqlite3.Connection, now: datetime) -> None:
        """End the round without its barrier, in an open transaction: a full one replaces it."""
        row = self.current()
        if row is not None:
            self._set(connection, row, RESTORE.next("RECEIVED", "begun anew"), now)

    def _set(
        self,
        connection: sqlite3.Connection,
        row: Landed,
        state: str,
        now: datetime,
        prior: str | None = None,
        error: str = "",
    ) -> None:
        ended = now.isoformat() if state in ("FINISH", "DROPPED") else None
        connection.execute(
            "UPDATE landing_round SET state = ?, ended = ?, prior = ?, error = ? WHERE number = ?",
            (state, ended, row.prior if prior is None else prior, error, row.number),
        )
        connection.execute("DELETE FROM landing_round WHERE number <= ?", (row.number - REMEMBERED,))

    def _row(self) -> sqlite3.Row:
        return self._store.rows("SELECT * FROM landing_stream WHERE stream = ?", (self._stream,))[0]
