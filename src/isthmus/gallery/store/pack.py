"""Small images together in one SQLite file: making a file of their own costs more than decoding them.

Rows are written by threads while the transaction of the set goes on, and committed, durably, before it. So there
may be rows that no committed record speaks of: they are not trusted, are written again when their content comes
again, and go with the next sweep. A large transaction is committed here in stretches, so that the log stays short.

What is removed is overwritten with zeros, and the log that held it is emptied.

An image that cannot be read because pages are damaged is one that is not there. Who writes, or removes, and meets
such pages has all that is whole copied into a new file under the next number, and the damaged one goes: what was
lost with it is healed as any image is, by replacing it. The number changes since readers may have it open.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from isthmus.core.errors import Busy, Corrupt, InputError
from isthmus.gallery.store import packfile
from isthmus.state.store import meaning

SMALL_BYTES = 64 * 1024
"""Images below this are packed."""

_STRETCH_BYTES = 16 * 1024 * 1024
_TOGETHER = 1000
_FREED_PAGES = 1024
"""So many free pages are given back to the file system at once: 16 MiB."""

_REMEDY = "look at the disk: the next change copies what is whole, and the rest is replaced at the inner site"


class Pack:
    """The file of small images in a folder; it is made when the first one is written.

    Several threads may use it: one at a time does. Writing belongs to whoever holds the transaction of the set.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._uncommitted = 0

    @staticmethod
    def there(folder: Path) -> bool:
        """Tell whether a folder has such a file."""
        return packfile.newest(folder) > 0

    @property
    def path(self) -> Path:
        """Where the file lies, or would lie."""
        return self._path or packfile.place(self._folder, max(1, packfile.newest(self._folder)))

    def content(self, digest: bytes) -> bytes | None:
        """Return what lies here for a digest, unproven; None where nothing does that can be read.

        Raises Busy, OSError.
        """
        with self._lock:
            sql = "SELECT content FROM image WHERE digest = ?"
            try:
                with self._telling():
                    row = _found(self._opened(), sql, digest)
                    if row is None and self._moved():
                        row = _found(self._opened(), sql, digest)
            except Corrupt:
                return None
            except OSError as error:
                if error.errno == errno.EIO:
                    return None
                raise
            return None if row is None else row[0]

    def write(self, part: Sequence[tuple[bytes, bytes]]) -> None:
        """Write images, in the place of what lies here for their digests.

        Raises OSError; Busy where the file was damaged and all that was whole was copied, so that it can go on.
        """
        with self._lock:
            try:
                with self._telling():
                    self._write(part)
            except Corrupt as error:
                self._renew()
                raise Busy(error.what, "what was whole was copied: it goes on by itself") from error

    def commit(self) -> None:
        """Make all that was written durable. Raises OSError, Corrupt."""
        with self._lock, self._telling():
            self._uncommitted = 0
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Leave out what was written since the last commit."""
        with self._lock, self._telling():
            self._uncommitted = 0
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def remove(self, digests: Collection[bytes]) -> set[bytes]:
        """Remove images, durably, and overwrite them; returns which were here. Raises Busy, OSError."""
        with self._lock:
            removed = self._whole(lambda connection: _removed(connection, digests))
            if removed:
                self.erase()
            return removed

    def sweep(self, known: Callable[[bytes], bool]) -> int:
        """Remove images that are not `known`, and give free space back. Returns how many. Raises Busy, OSError."""
        with self._lock:
            swept = self._whole(lambda connection: _swept(connection, known))
            self.erase()
            for number in range(
                1, packfile.newest(self._folder)
            ):  # whoever made the newest was killed before the end
                packfile.unlink(packfile.place(self._folder, number))
            return len(swept)

    def erase(self) -> bool:
        """Empty the log, so that nothing of removed images stays there.

        False where a reader is in the way just now: it is to be tried again. Raises OSError, Corrupt.
        """
        with self._lock, self._telling():
            connection = self._opened()
            if connection is None:
                return True
            if connection.in_transaction:
                return False
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(packfile.BUSY_S * 1000)}")

    def close(self) -> None:
        """Close the file; what was not committed is left out."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._path = None
            self._uncommitted = 0

    def _write(self, part: Sequence[tuple[bytes, bytes]]) -> None:
        self._moved()
        connection = self._opened() or self._made()
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        # one statement: after each this thread waits for those that make images ready
        marks = ", ".join(["(?, ?)"] * len(part))
        values = [value for image in part for value in image]
        connection.execute(f"INSERT OR REPLACE INTO image (digest, content) VALUES {marks}", values)
        self._uncommitted += sum(len(content) for _, content in part)
        if self._uncommitted >= _STRETCH_BYTES:
            self.commit()

    def _whole(self, act: Callable[[sqlite3.Connection], set[bytes]]) -> set[bytes]:
        """Do something in the file, and where it is damaged, again in its copy."""
        for last in (False, True):
            try:
                with self._telling():
                    self._moved()
                    connection = self._opened()
                    return act(connection) if connection is not None else set()
            except Corrupt:
                if last:
                    raise
                self._renew()
        raise AssertionError

    def _renew(self) -> None:
        """Copy what is whole into a file of the next number, and remove the damaged one."""
        old, number = self.path, packfile.newest(self._folder) + 1
        self.close()
        with self._telling():
            packfile.make(self._folder, number, lambda fresh: packfile.copy(old, fresh))
        packfile.unlink(old)

    def _moved(self) -> bool:
        """Let go of a file in whose place there is another one by now; tell whether there is."""
        if self._path is None or self._path.exists():
            return False
        self.close()
        return True

    def _made(self) -> sqlite3.Connection:
        packfile.make(self._folder, 1)
        connection = self._opened()
        assert connection is not None
        return connection

    def _opened(self) -> sqlite3.Connection | None:
        if self._connection is None:
            number = packfile.newest(self._folder)
            if not number:
                return None
            self._path = packfile.place(self._folder, number)
            self._connection = packfile.connected(self._path)
            found = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if found > packfile.FORMAT:
                path = self._path
                self.close()
                raise InputError(f"{path} was written by a newer release", "install that release or a later one")
        return self._connection

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Say what an error of SQLite means: Busy, OSError, Corrupt."""
        try:
            yield
        except sqlite3.Error as error:
            known = meaning(error, self.path)
            if isinstance(known, Corrupt):
                raise Corrupt(f"the small images in {self.path} are damaged: {error}", _REMEDY) from error
            if known is not None:
                raise known from error
            raise


def _found(connection: sqlite3.Connection | None, sql: str, digest: bytes) -> tuple[bytes] | None:
    found: tuple[bytes] | None = None if connection is None else connection.execute(sql, (digest,)).fetchone()
    return found


def _removed(connection: sqlite3.Connection, digests: Collection[bytes]) -> set[bytes]:
    sql = "DELETE FROM image WHERE digest = ?"
    with _transaction(connection):
        return {digest for digest in digests if connection.execute(sql, (digest,)).rowcount}


def _swept(connection: sqlite3.Connection, known: Callable[[bytes], bool]) -> set[bytes]:
    swept, last = set[bytes](), b""
    sql = f"SELECT digest FROM image WHERE digest > ? ORDER BY digest LIMIT {_TOGETHER}"
    while rows := connection.execute(sql, (last,)).fetchall():
        last = rows[-1][0]
        swept |= _removed(connection, [row[0] for row in rows if not known(row[0])])
    # as a script: otherwise sqlite3 stops after the first page
    connection.executescript(f"PRAGMA incremental_vacuum({_FREED_PAGES})")
    return swept


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
