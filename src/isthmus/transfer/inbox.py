"""The folder behind a carrying door: which names may lie there, how much, and writing whole or not at all.

A file comes with its size and BLAKE3 told in advance. It is written under a hidden name, compared, synced, and
only then given its name, so nobody ever sees one that was cut short or in which a bit was flipped. Whoever works
on the server's own side reads the same folder through `transfer.gate.Gate`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from isthmus.core.errors import Corrupt, InputError
from isthmus.core.header import BundleName
from isthmus.core.ports import Arrival
from isthmus.state.files import sync_folder
from isthmus.transfer.gate import Gate, Step, no_step
from isthmus.transfer.limits import GIB, MIB
from isthmus.transfer.naming import family

_TOLD = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}-(?:report-[0-9]{1,18}\.json|inventory-[0-9]{1,18}\.bin)")
_COMING = ".isthmus-coming"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def proper(name: str) -> bool:
    """Tell whether a file of this name is carried: a bundle's in its one form, a report's or an inventory's."""
    bundle = BundleName.of(name)
    if bundle is not None:
        return bool(family(bundle.ending)) and str(bundle) == name
    return _TOLD.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Caps:
    """How much may lie in an inbox, in bytes and files; `keep_free_bytes` of the disk are left to others."""

    most_file_bytes: int = 32 * GIB
    most_bytes: int = 1024 * GIB
    most_files: int = 65_536
    keep_free_bytes: int = 64 * MIB


class Oversized(InputError):
    """A file that is larger than any that is taken here."""


class Inbox:
    """A folder that files come to, from several senders at a time. Raises OSError where the disk refuses."""

    def __init__(self, folder: Path, caps: Caps | None = None, step: Step = no_step) -> None:
        """Open the folder, make it where it is missing, and sweep what a crash left."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._caps, self._step = folder, caps or Caps(), step
        self._gate = Gate(folder)
        self._lock, self._expected = threading.Lock(), dict[str, int]()
        self._sweep()

    def arrived(self) -> list[tuple[str, Arrival]]:
        """List what lies there whole, sorted by name, with size and stamp."""
        found = []
        for name in self._gate.names():
            if proper(name):
                with contextlib.suppress(FileNotFoundError):  # taken away in between
                    found.append((name, self.look(name)))
        return found

    def look(self, name: str) -> Arrival:
        """Tell size and stamp of a file. Raises FileNotFoundError, InputError for a name that is not carried."""
        self._check(name)
        return _arrival(name, (self.folder / name).lstat())

    def read(self, name: str) -> tuple[BinaryIO, Arrival]:
        """Open a file, and tell size and stamp of just that one. Raises FileNotFoundError, InputError."""
        self._check(name)
        try:
            handle = os.open(self.folder / name, _READ)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise FileNotFoundError(errno.ENOENT, "a link, no file", name) from error
            raise
        try:
            arrival = _arrival(name, os.fstat(handle))
            return os.fdopen(handle, "rb"), arrival
        except BaseException:
            os.close(handle)
            raise

    def drop(self, name: str) -> None:
        """Remove a file; nothing happens where it has gone. Raises InputError."""
        self._check(name)
        self._gate.drop(name)

    def ask(self, name: str, size: int) -> None:
        """Return where a file may come. Raises InputError, Oversized, OSError ENOSPC where there is no room."""
        with self._lock:
            self._admit(name, size)

    def begin(self, name: str, size: int, digest: bytes) -> Coming:
        """Let a file of so many bytes and this BLAKE3 come. Raises what `ask` does."""
        with self._lock:
            self._admit(name, size)
            part = self.folder / f".{secrets.token_hex(6)}.{name}{_COMING}"
            self._expected[part.name] = size
        try:
            return Coming(self, name, part, size, digest, self._step)
        except BaseException:
            self.left(part)
            raise

    def left(self, part: Path) -> None:
        """Count a coming file no longer."""
        with self._lock:
            self._expected.pop(part.name, None)

    def _check(self, name: str) -> None:
        if not proper(name):
            raise InputError(f"{name[:80]!r} is no name that is carried", "bundles, reports and inventories are")

    def _admit(self, name: str, size: int) -> None:
        self._check(name)
        caps = self._caps
        if size > caps.most_file_bytes:
            raise Oversized(f"{name} has {size:,} bytes, {caps.most_file_bytes:,} at most are taken")
        files, held = 0, 0
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name != name and not entry.name.startswith("."):
                    with contextlib.suppress(FileNotFoundError):
                        files, held = files + 1, held + entry.stat(follow_symlinks=False).st_size
        coming = sum(self._expected.values())
        disk = os.statvfs(self.folder)
        free = disk.f_bavail * disk.f_frsize - caps.keep_free_bytes
        if files + len(self._expected) + 1 > caps.most_files or held + coming + size > caps.most_bytes:
            raise OSError(errno.ENOSPC, f"the inbox holds {files:,} files, {held:,} bytes: no more is taken")
        if coming + size > free:  # what has come of the others counts twice: better refused than full
            raise OSError(errno.ENOSPC, "the disk has no room for it")

    def _sweep(self) -> None:
        """Remove parts whose writer is no more: it held a lock on them that ended with it."""
        for part in self.folder.glob(f".*{_COMING}"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError), part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink(missing_ok=True)


class Coming:
    """A file that is coming. Ended by `finish` or `abandon`; used by one thread at a time."""

    def __init__(self, inbox: Inbox, name: str, part: Path, size: int, digest: bytes, step: Step) -> None:
        self._inbox, self._name, self._part, self._step = inbox, name, part, step
        self._size, self._digest, self._hash, self._have = size, digest, blake3(), 0
        self._file = part.open("xb")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            self._file.close()
            part.unlink(missing_ok=True)
            raise

    def write(self, piece: bytes) -> None:
        """Take the next piece. Raises Corrupt where more comes than was told, OSError."""
        self._have += len(piece)
        if self._have > self._size:
            raise Corrupt(f"more than the {self._size:,} bytes of {self._name} came", "send it again")
        self._hash.update(piece)
        self._file.write(piece)

    def finish(self) -> Arrival:
        """Compare, sync, and give the file its name. Raises Corrupt where it is not what was told, OSError."""
        try:
            if self._have != self._size or self._hash.digest() != self._digest:
                raise Corrupt(f"{self._name} did not come as it was sent", "send it again")
            self._step("inbox written")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._step("inbox synced")
            self._part.replace(self._inbox.folder / self._name)
            self._step("inbox renamed")
            sync_folder(self._inbox.folder)
        finally:
            self.abandon()
        return self._inbox.look(self._name)

    def abandon(self) -> None:
        """Keep nothing of what has come and has no name yet."""
        with contextlib.suppress(OSError):  # a full disk tells again what it told before
            self._file.close()
        self._part.unlink(missing_ok=True)
        self._inbox.left(self._part)


def _arrival(name: str, found: os.stat_result) -> Arrival:
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, "no file", name)
    return Arrival(found.st_size, f"{found.st_mtime_ns}.{found.st_ctime_ns}.{found.st_ino}")


def pieces(file: BinaryIO, size: int, length: int) -> Iterator[bytes]:
    """Read `length` bytes in pieces of at most `size`. Raises OSError where the file ends before that."""
    while length:
        piece = file.read(min(size, length))
        if not piece:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        length -= len(piece)
        yield piece
