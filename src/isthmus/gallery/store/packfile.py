"""The file of packed images, and the index that tells where in it each lies.

`small.pack` holds records one behind the other, each a header and the bytes of an image. The header: eight bytes
that every record begins with, the size of the image (u32, little-endian), its BLAKE3. What is removed is
overwritten with zeros and given back to the file system as a hole; new records go to the end, so nothing is ever
moved, or written over while somebody reads it. Backups should keep holes (`rsync --sparse`, `tar --sparse`).

The index is an SQLite file, `small-<number>.sqlite`. All that is in it can be read from the records again
(`records`): where it is damaged, one with the next number takes its place, since readers may have it open.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import sqlite3
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from isthmus.state.files import private_file, sync_folder

CONTENT = "small.pack"
FORMAT = 1
BUSY_S = 30.0
"""So long a process waits for another one."""

_BEGINNING = b"\x89img\r\n\x1a\x00"
HEADER = struct.Struct("<8sI32s")
_TABLE = "CREATE TABLE image (at INTEGER PRIMARY KEY, size INTEGER NOT NULL, digest BLOB NOT NULL UNIQUE)"
_NAME = re.compile(r"small-([1-9][0-9]{0,8})\.sqlite")
_STRETCH = 256 * 1024
_BLOCK = 4096
MOST_BYTES = 1024 * 1024
"""No image that was ever packed is larger."""
_PUNCH = 0x03
"""FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, see fallocate(2)."""


class Record(NamedTuple):
    """An image in the file: where its header begins, its size without the header, its digest."""

    at: int
    size: int
    digest: bytes

    @property
    def content(self) -> int:
        """Where its bytes begin."""
        return self.at + HEADER.size

    @property
    def end(self) -> int:
        """Where the next record may begin."""
        return self.content + self.size

    @property
    def header(self) -> bytes:
        """What stands before its bytes."""
        return HEADER.pack(_BEGINNING, self.size, self.digest)


def newest(folder: Path) -> int:
    """Return the highest number of an index; 0 where there is none."""
    found = (_NAME.fullmatch(path.name) for path in folder.glob("small-*.sqlite"))
    return max((int(one[1]) for one in found if one), default=0)


def place(folder: Path, number: int) -> Path:
    """Return where the index of a number lies."""
    return folder / f"small-{number}.sqlite"


def unlink(path: Path) -> None:
    """Remove an index with its log."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def make(folder: Path, number: int, known: Iterator[Record]) -> None:
    """Make an index, under another name first: a reader sees it whole or not at all."""
    staged, path = folder / "incoming" / f"{os.getpid()}-small-{number}", place(folder, number)
    unlink(staged)  # of a process of the same number that was killed
    try:
        private_file(staged)
        with contextlib.closing(connected(staged)) as connection:  # its log goes with it
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO image (at, size, digest) VALUES (?, ?, ?)", known)
            connection.execute("COMMIT")
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(staged)
    finally:
        unlink(staged)
    sync_folder(folder)


def connected(path: Path) -> sqlite3.Connection:
    """Open an index, durable at each commit. Raises sqlite3.DatabaseError."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
    connection.text_factory = bytes  # there is no text, unless it is damaged
    try:
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def write_all(handle: int, buffers: list[bytes], at: int) -> None:
    """Write buffers one behind the other. Raises OSError."""
    size = sum(map(len, buffers))
    written = os.pwritev(handle, buffers, at)
    if written < size:  # the disk is nearly full: the next call says so
        rest = b"".join(buffers)[written:]
        while rest:
            written = os.pwrite(handle, rest, at + size - len(rest))
            rest = rest[written:]


def is_record(handle: int, record: Record) -> bool:
    """Tell whether the header of a record stands where it should."""
    return os.pread(handle, HEADER.size, record.at) == record.header


def wipe(handle: int, stretches: list[tuple[int, int]]) -> None:
    """Overwrite stretches, given as (from, to), durably, and give their space back. Raises OSError."""
    for start, end in stretches:
        for at in range(start, end, _STRETCH):
            write_all(handle, [bytes(min(_STRETCH, end - at))], at)
    if not stretches:
        return
    os.fdatasync(handle)
    punch = _fallocate()
    for start, end in stretches:
        if punch is not None:
            punch(handle, _PUNCH, start, end - start)  # a file system without holes keeps zeros


def records(handle: int, start: int, end: int) -> Iterator[Record]:
    """Find the records in a stretch of the file that are whole, each proven by its digest; pass over holes."""
    from blake3 import blake3

    at = start
    while (at := _next_data(handle, at, end)) < end:
        window = _window(handle, at, end)
        found = window.find(_BEGINNING)
        if found < 0:
            at += max(1, len(window) - len(_BEGINNING) + 1)
            continue
        at += found
        header = _readable(handle, HEADER.size, at)
        if len(header) == HEADER.size:
            _, size, digest = HEADER.unpack(header)
            record = Record(at, size, digest)
            if (
                size <= MOST_BYTES
                and record.end <= end
                and blake3(_readable(handle, size, record.content)).digest() == digest
            ):
                yield record
                at = record.end
                continue
        at += 1


def used(handle: int, start: int, end: int) -> bool:
    """Tell whether there is anything but zeros in a stretch of the file."""
    at = start
    while (at := _next_data(handle, at, end)) < end:
        window = _window(handle, at, end)
        if not window:
            return False
        if window != bytes(len(window)):
            return True
        at += len(window)
    return False


def _window(handle: int, at: int, end: int) -> bytes:
    """Read on from somewhere; of what the disk cannot read come zeros, a block at a time."""
    size = min(_STRETCH, end - at)
    if window := _readable(handle, size, at):
        return window
    size = min(size, _BLOCK - at % _BLOCK)
    return _readable(handle, size, at) or bytes(size)


def _readable(handle: int, size: int, at: int) -> bytes:
    """Read a stretch; nothing where the disk cannot."""
    try:
        return os.pread(handle, size, at)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""


def _next_data(handle: int, at: int, end: int) -> int:
    if at >= end:
        return end
    try:
        return os.lseek(handle, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # only a hole is left
            return end
        if error.errno == errno.EINVAL:  # this file system tells of none
            return at
        raise


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    found = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if found is not None:
        found.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    call: Callable[[int, int, int, int], int] | None = found
    return call
