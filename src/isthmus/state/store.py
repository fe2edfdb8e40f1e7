"""The site's SQLite file: WAL, synchronous=FULL, every change in one `BEGIN IMMEDIATE` transaction.

Each room declares its own tables as a list of migrations; a migration that was once released never changes.
A new file, its log and its folder are their owner's alone: SQLite gives the log the mode of the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from isthmus.core.errors import Busy, Corrupt, InputError
from isthmus.state.files import private_file, private_folder
from isthmus.state.lock import patiently

_BUSY_MS = 30_000


class Store:
    """Durable state shared by processes. A Store belongs to the thread that opened it."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises Corrupt where it is no SQLite file, OSError where the disk refuses."""
        self.path = path
        if str(path) != ":memory:":
            private_folder(path.parent)
            private_file(path)
        # SQLite does not wait by itself where several processes turn a new file to WAL at the same time
        self._connection = patiently(self._opened, for_s=_BUSY_MS / 1000)

    def _opened(self) -> sqlite3.Connection:
        connection = None
        try:
            connection = sqlite3.connect(self.path, isolation_level=None, timeout=_BUSY_MS / 1000)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migration (room TEXT PRIMARY KEY, done INTEGER NOT NULL)"
            )
        except sqlite3.DatabaseError as error:
            if connection is not None:
                connection.close()
            known = meaning(error, self.path)
            raise known or Corrupt(f"{self.path} is no state file: {error}", "restore it from a backup") from error
        return connection

    def migrate(self, room: str, steps: Sequence[str]) -> None:
        """Apply the migrations of `room` that this file has not seen yet, all or none.

        Where there are none to apply, nobody who writes is waited for. Raises InputError where the file was
        written by a newer release.
        """
        done = self.rows("SELECT done FROM migration WHERE room = ?", (room,))
        if done and done[0]["done"] == len(steps):
            return
        with self.transaction() as connection:
            row = connection.execute("SELECT done FROM migration WHERE room = ?", (room,)).fetchone()
            seen = row["done"] if row else 0
            if seen > len(steps):
                raise InputError(
                    f"{self.path} was written by a newer release", "install that release or a later one"
                )
            for step in steps[seen:]:
                for statement in filter(str.strip, step.split(";")):
                    connection.execute(statement)
            connection.execute("REPLACE INTO migration (room, done) VALUES (?, ?)", (room, len(steps)))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block in one immediate transaction: committed at its end, rolled back on any error.

        Raises Busy where another process held the file for too long, OSError where the disk does not take it.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:  # a full disk has rolled it back already
                connection.execute("ROLLBACK")
            known = meaning(error, self.path)
            if known is not None:
                raise known from error
            raise

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Read rows outside of a transaction. Raises Busy, OSError, Corrupt."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            known = meaning(error, self.path)
            if known is not None:
                raise known from error
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_OF_THE_DISK = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
}


def meaning(error: BaseException, path: Path) -> Exception | None:
    """Say what an error of SQLite means for the site; None for what only a mistake in the program explains."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the upper bits only tell finer kinds apart
    if not isinstance(error, sqlite3.Error):
        return None
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"{path} is held by another process", "try again when it has finished")
    if code in _OF_THE_DISK:
        number = _OF_THE_DISK[code]
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE:
            number = errno.ENOSPC  # opening found no room for the index of the log
        return OSError(number, os.strerror(number), str(path))
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Corrupt(f"{path} is no state file: {error}", "restore it from a backup")
    return None
