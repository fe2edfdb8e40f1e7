"""Small images together in one file: making a file for each costs more, and most where many were removed before.

Images are appended by threads while the transaction of the set goes on, and made durable before it is committed,
with the rows of their index (`packfile`). So there may be rows that no committed record speaks of: they are not
trusted, their images are written again when their content comes again, and go with the next sweep. What a killed
process left behind the last row goes with it, too.

An image whose bytes were damaged is damaged alone, as one that has a file of its own. Where the index is damaged,
what it would tell counts as not there, until who writes or sweeps meets the damage and makes the index anew.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path

from isthmus.core.errors import Busy, Corrupt, InputError, IsthmusError
from isthmus.gallery.store import packfile
from isthmus.gallery.store.packfile import Record
from isthmus.state.files import sync_folder
from isthmus.state.store import meaning

SMALL_BYTES = 64 * 1024
"""Images below this are packed."""

_STRETCH_BYTES = 16 * 1024 * 1024
"""So much is written between two syncs, so that the last one has little left to do."""
_TOGETHER = 500
_DIGEST_BYTES = 32

_REMEDY = "look at the disk; the index is made anew with the next change"


class Pack:
    """The packed images of a folder; the files are made when the first one is written.

    Several threads may use it: one at a time does. Writing belongs to whoever holds the transaction of the set.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / packfile.CONTENT
        self._folder = folder
        self._index: Path | None = None
        self._connection: sqlite3.Connection | None = None
        self._handle = -1
        self._lock = threading.RLock()
        self._begin = self._end = self._unsynced = 0
        self._replaced: list[Record] = []

    @staticmethod
    def there(folder: Path) -> bool:
        """Tell whether a folder has packed images."""
        return (folder / packfile.CONTENT).exists()

    def content(self, digest: bytes) -> bytes | None:
        """Return what lies here for a digest, unproven; None where nothing does that can be read.

        Raises Busy, OSError.
        """
        with self._lock:
            try:
                with self._telling():
                    record = _found(self._opened(), digest)
                    if record is None and self._moved():
                        record = _found(self._opened(), digest)
                if record is None:
                    return None
                return os.pread(self._file(), record.size, record.content)
            except (Corrupt, FileNotFoundError):
                return None
            except OSError as error:
                if error.errno == errno.EIO:
                    return None
                raise

    def write(self, part: Sequence[tuple[bytes, bytes]]) -> None:
        """Write images, in the place of what lies here for their digests.

        Raises OSError; Busy where the index was damaged and was made anew: then it can go on.
        """
        with self._lock:
            try:
                with self._telling():
                    self._write(part)
            except Corrupt as error:
                self._renew()
                raise Busy(error.what, "the index was made anew: it goes on by itself") from error

    def commit(self) -> None:
        """Make all that was written durable. Raises Busy, OSError, Corrupt."""
        with self._lock, self._telling():
            if self._connection is None or not self._connection.in_transaction:
                return
            os.fdatasync(self._handle)
            self._unsynced = 0
            self._connection.execute("COMMIT")
            replaced, self._replaced = self._replaced, []
            self._wipe(replaced)

    def rollback(self) -> None:
        """Leave out what was written since the last commit. Raises OSError."""
        with self._lock, self._telling():
            self._replaced = []
            self._unsynced = 0
            if self._connection is not None and self._connection.in_transaction:
                os.ftruncate(self._handle, self._begin)
                self._connection.execute("ROLLBACK")

    def remove(self, digests: Collection[bytes]) -> set[bytes]:
        """Remove images, durably, and overwrite them; returns which were here. Raises Busy, OSError."""
        with self._lock:
            return self._whole(lambda connection: self._removed(connection, digests))

    def sweep(self, known: Callable[[bytes], bool]) -> int:
        """Remove images that are not `known`, and whatever else is not in the index. Returns how many images.

        Images that are known and not in the index are put there. Raises Busy, OSError.
        """
        with self._lock:
            swept = self._whole(lambda connection: self._swept(connection, known))
            for number in range(1, packfile.newest(self._folder)):  # whoever made the newest was killed before
                packfile.unlink(packfile.place(self._folder, number))
            return len(swept)

    def close(self) -> None:
        """Close the files; what was not committed is left out."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(IsthmusError, OSError):
                    self.rollback()
                self._connection.close()
            if self._handle >= 0:
                os.close(self._handle)
            self._connection, self._index, self._handle = None, None, -1

    def _write(self, part: Sequence[tuple[bytes, bytes]]) -> None:
        if self._connection is None or not self._connection.in_transaction:
            self._moved()
        connection, handle = self._opened(make=True), self._file(make=True)
        assert connection is not None
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
            self._begin = self._end = os.fstat(handle).st_size
            self._within(_last(connection), self._end)
        digests = [digest for digest, _ in part]
        self._replaced += _all_found(connection, digests)
        buffers, values, begin = list[bytes](), list[int | bytes](), self._end
        for digest, content in part:
            record = Record(self._end, len(content), digest)
            buffers += (record.header, content)
            values += record
            self._end = record.end
        packfile.write_all(handle, buffers, begin)
        # one statement: after each this thread waits for those that make images ready
        marks = ", ".join(["(?, ?, ?)"] * len(part))
        connection.execute(f"INSERT OR REPLACE INTO image (at, size, digest) VALUES {marks}", values)
        self._unsynced += self._end - begin
        if self._unsynced >= _STRETCH_BYTES:
            os.fdatasync(handle)
            self._unsynced = 0

    def _removed(self, connection: sqlite3.Connection, digests: Collection[bytes]) -> set[bytes]:
        with _transaction(connection):
            found = list(_all_found(connection, list(digests)))
            self._wipe(found)
            connection.executemany("DELETE FROM image WHERE at = ?", [(record.at,) for record in found])
        return {record.digest for record in found}

    def _swept(self, connection: sqlite3.Connection, known: Callable[[bytes], bool]) -> set[bytes]:
        swept, wiped, handle = set[bytes](), list[tuple[int, int]](), self._file(make=True)
        with _transaction(connection):
            size, end, adopted, gone = os.fstat(handle).st_size, 0, list[Record](), list[Record]()
            for record in chain(_rows(connection), (Record(size, -packfile.HEADER.size, b""),)):
                self._within(record, size)
                if packfile.used(handle, end, record.at):
                    for stray in packfile.records(handle, end, record.at):
                        if known(stray.digest) and not self._stands(_found(connection, stray.digest)):
                            adopted.append(stray)
                            wiped.append((end, stray.at))
                            end = stray.end
                        else:
                            swept.add(stray.digest)
                    wiped.append((end, record.at))
                end = max(end, record.end)
                if record.digest:
                    self._holding(_found(connection, record.digest) == record)
                    if not known(record.digest):
                        self._holding(self._stands(record))
                        gone.append(record)
            self._wipe(gone)
            packfile.wipe(handle, wiped)
            connection.executemany("DELETE FROM image WHERE at = ?", [(record.at,) for record in gone])
            connection.executemany("INSERT OR REPLACE INTO image (at, size, digest) VALUES (?, ?, ?)", adopted)
        return swept | {record.digest for record in gone}

    def _wipe(self, removed: Sequence[Record]) -> None:
        """Overwrite records. One that does not stand where a damaged row tells is left to the sweep."""
        if removed:
            standing = [(record.at, record.end) for record in removed if self._stands(record)]
            packfile.wipe(self._file(make=True), standing)

    def _stands(self, record: Record | None) -> bool:
        return record is not None and packfile.is_record(self._file(make=True), record)

    def _within(self, record: Record | None, size: int) -> None:
        """Raise Corrupt where a row tells of more than there is: nothing may come to lie where rows point to."""
        self._holding(record is None or 0 <= record.at <= record.end <= size)

    def _holding(self, true: bool) -> None:
        if not true:
            raise Corrupt(f"the index of small images, {self._index}, contradicts what there is", _REMEDY)

    def _whole(self, act: Callable[[sqlite3.Connection], set[bytes]]) -> set[bytes]:
        """Do something with the index, and where it is damaged, again with a new one."""
        for last in (False, True):
            try:
                with self._telling():
                    self._moved()
                    connection = self._opened(make=self.there(self._folder))
                    return act(connection) if connection is not None else set()
            except Corrupt:
                if last:
                    raise
                self._renew()
        raise AssertionError

    def _renew(self) -> None:
        """Make the index anew from the images, and remove the damaged one."""
        old = self._index
        self.close()
        number = packfile.newest(self._folder) + 1
        with self._telling():
            handle = self._file(make=True)
            packfile.make(self._folder, number, packfile.records(handle, 0, os.fstat(handle).st_size))
        if old is not None:
            packfile.unlink(old)

    def _moved(self) -> bool:
        """Let go of an index in whose place there is another one by now; tell whether there is."""
        if self._index is None or self._index.exists():
            return False
        self.close()
        return True

    def _file(self, *, make: bool = False) -> int:
        """Open the images. Raises FileNotFoundError."""
        if self._handle < 0:
            there = self.path.exists()
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0)
            self._handle = os.open(self.path, flags, 0o600)
            if not there:
                sync_folder(self._folder)
        return self._handle

    def _opened(self, *, make: bool = False) -> sqlite3.Connection | None:
        if self._connection is None:
            if not packfile.newest(self._folder):
                if not make:
                    return None
                self._renew()
            self._index = packfile.place(self._folder, packfile.newest(self._folder))
            self._connection = packfile.connected(self._index)
            found = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if found > packfile.FORMAT:
                path = self._index
                self.close()
                raise InputError(f"{path} was written by a newer release", "install that release or a later one")
        return self._connection

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Say what an error of SQLite means: Busy, OSError, Corrupt."""
        try:
            yield
        except sqlite3.Error as error:
            path = self._index or self.path
            known = meaning(error, path)
            if isinstance(known, Corrupt):
                raise Corrupt(f"the index of small images, {path}, is damaged: {error}", _REMEDY) from error
            if known is not None:
                raise known from error
            raise


_COLUMNS = "SELECT at, size, digest FROM image"


def _found(connection: sqlite3.Connection | None, digest: bytes) -> Record | None:
    if connection is None:
        return None
    row = connection.execute(f"{_COLUMNS} WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else _record(row)


def _all_found(connection: sqlite3.Connection, digests: Sequence[bytes]) -> Iterator[Record]:
    for at in range(0, len(digests), _TOGETHER):
        asked = digests[at : at + _TOGETHER]
        marks = ", ".join("?" * len(asked))
        yield from map(_record, connection.execute(f"{_COLUMNS} WHERE digest IN ({marks})", asked))


def _rows(connection: sqlite3.Connection) -> Iterator[Record]:
    """Stream the index in the order of the file."""
    yield from map(_record, connection.execute(f"{_COLUMNS} NOT INDEXED ORDER BY at"))


def _last(connection: sqlite3.Connection) -> Record | None:
    row = connection.execute(f"{_COLUMNS} ORDER BY at DESC LIMIT 1").fetchone()
    return None if row is None else _record(row)


def _record(row: tuple[object, ...]) -> Record:
    """Read a row. Raises Corrupt where nobody can have written it."""
    at, size, digest = row
    if (
        not (isinstance(at, int) and isinstance(size, int) and isinstance(digest, bytes))
        or not (0 <= at < 1 << 60 and 0 <= size <= packfile.MOST_BYTES)
        or len(digest) != _DIGEST_BYTES
    ):
        raise Corrupt("the index of small images has a row that nobody wrote", _REMEDY)
    return Record(at, size, digest)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
