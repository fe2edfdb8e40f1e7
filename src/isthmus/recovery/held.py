"""The barrier that was sealed last, row by row: what the next round leads on from, and which files are proven."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from datetime import datetime

from isthmus.recovery.barrier import Barrier, Change, HeldFile, TableAt
from isthmus.state.store import Store

_STEPS = (
    """CREATE TABLE recovery_last_table (
        stream TEXT NOT NULL, identity TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (stream, identity)
    );
    CREATE TABLE recovery_last_file (
        stream TEXT NOT NULL,
        identity TEXT NOT NULL,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (stream, identity, path)
    )""",
)


class HeldBarrier:
    """The tables and files of one stream's last barrier."""

    def __init__(self, store: Store, stream: str) -> None:
        self._store, self._stream = store, stream
        store.migrate("recovery last barrier", _STEPS)

    def read(self, key: str, at: datetime) -> Barrier:
        """Return the barrier, which the round `key` took at a moment."""
        files: dict[str, dict[str, HeldFile]] = {}
        tables = {}
        for row in self._store.rows("SELECT * FROM recovery_last_table WHERE stream = ?", (self._stream,)):
            body = json.loads(row["body"])
            tables[row["identity"]] = TableAt(**{**body, "grants": tuple(map(tuple, body["grants"]))})
            files[row["identity"]] = {}
        for row in self._store.rows("SELECT * FROM recovery_last_file WHERE stream = ?", (self._stream,)):
            files[row["identity"]][row["path"]] = HeldFile(row["path"], row["size"], row["digest"])
        return Barrier(key, at, tables, files)

    def write(self, connection: sqlite3.Connection, last: Barrier | None, barrier: Barrier) -> None:
        """Put a barrier in the place of the last one: only what differs is written."""
        change = Change.between(last, barrier)
        gone = last.tables.keys() - barrier.tables.keys() if last else set()
        for table in ("recovery_last_table", "recovery_last_file"):
            connection.executemany(
                f"DELETE FROM {table} WHERE stream = ? AND identity = ?", ((self._stream, one) for one in gone)
            )
        connection.executemany(
            "DELETE FROM recovery_last_file WHERE stream = ? AND identity = ? AND path = ?",
            ((self._stream, identity, path) for identity, paths in change.removed.items() for path in paths),
        )
        connection.executemany(
            "REPLACE INTO recovery_last_table VALUES (?, ?, ?)",
            ((self._stream, one.identity, json.dumps(asdict(one))) for one in change.tables),
        )
        connection.executemany(
            "REPLACE INTO recovery_last_file VALUES (?, ?, ?, ?, ?)",
            (
                (self._stream, identity, file.path, file.size, file.digest)
                for identity, files in change.added.items()
                for file in files
            ),
        )
