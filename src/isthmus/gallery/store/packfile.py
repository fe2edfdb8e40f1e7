"""The files of packed images: how they are named, made whole, and copied where they are damaged."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from isthmus.state.files import private_file, sync_folder

FORMAT = 1
BUSY_S = 30.0
"""So long a process waits for another one."""

_PAGE_BYTES = 16 * 1024
"""With pages of 4 KiB an image of 30 kB costs half as much again; larger pages gain little and waste more."""
_CACHE_KIB = 8 * 1024
_TOGETHER = 1000
_TABLE = "CREATE TABLE image (number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, content BLOB NOT NULL)"
_NAME = re.compile(r"small-([1-9][0-9]{0,8})\.sqlite")


def newest(folder: Path) -> int:
    """Return the highest number of a file of small images; 0 where there is none."""
    found = (_NAME.fullmatch(path.name) for path in folder.glob("small-*.sqlite"))
    return max((int(one[1]) for one in found if one), default=0)


def place(folder: Path, number: int) -> Path:
    """Return where the file of a number lies."""
    return folder / f"small-{number}.sqlite"


def unlink(path: Path) -> None:
    """Remove a file with its log."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def make(folder: Path, number: int, fill: Callable[[sqlite3.Connection], None] = lambda fresh: None) -> None:
    """Make the file under another name first: a reader sees it whole or not at all."""
    staged, path = folder / "incoming" / f"{os.getpid()}-small-{number}", place(folder, number)
    unlink(staged)  # of a process of the same number that was killed
    try:
        private_file(staged)
        connection = connected(staged)
        try:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("BEGIN IMMEDIATE")
            fill(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()  # its log goes with it
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(staged)
    finally:
        unlink(staged)
    sync_folder(folder)


def copy(old: Path, fresh: sqlite3.Connection) -> None:
    """Copy the images that can be read and are what their digests say, into a transaction that is open."""
    for number, image in enumerate(_whole(old), 1):
        fresh.execute("INSERT OR REPLACE INTO image (digest, content) VALUES (?, ?)", image)
        if not number % _TOGETHER:
            fresh.execute("COMMIT")
            fresh.execute("BEGIN IMMEDIATE")


def _whole(path: Path) -> Iterator[tuple[bytes, bytes]]:
    from blake3 import blake3

    with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(connected(path)) as damaged:
        for number in _numbers(damaged):
            sql = "SELECT digest, content FROM image WHERE number = ?"
            with contextlib.suppress(sqlite3.DatabaseError):
                row = damaged.execute(sql, (number,)).fetchone()
                if row is not None and blake3(row[1]).digest() == row[0]:
                    yield row


def _numbers(damaged: sqlite3.Connection) -> list[int]:
    """List the rows of a damaged file, from both ends up to where it is damaged, and by its index."""
    found: set[int] = set()
    for order in ("NOT INDEXED ORDER BY number", "NOT INDEXED ORDER BY number DESC", "ORDER BY digest"):
        with contextlib.suppress(sqlite3.DatabaseError):
            found.update(row[0] for row in damaged.execute(f"SELECT number FROM image {order}"))
    return sorted(found)


def connected(path: Path) -> sqlite3.Connection:
    """Open a file: durable at each commit, and with zeros for what is removed. Raises sqlite3.DatabaseError."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection
