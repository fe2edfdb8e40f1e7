"""Images as files: one file per content, named by its BLAKE3, in 256 folders by the first two digits.

Files are written by threads of their own while their transaction goes on; what is committed was made durable
before. A file that no committed row speaks of is not trusted (it may have come with a transaction that was lost,
or half of it did) and is written again when its content comes again; `sweep` removes such files. So is a file
that was damaged or is gone: replacing the image by itself at the inner site heals it at every site. What takes the
place of a file is written under another name first and then renamed, for readers.
Folders and files are their owner's alone: faces are biometric data.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import itertools
import os
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path

from isthmus.core.errors import Corrupt
from isthmus.state.files import abandoned, private_folder, sync_folder

REMEDY = "restore it from a backup, or replace it by itself at the inner site"
"""What to do about an image whose file is damaged or gone."""

_FEW = 4
"""So many files are synced one by one; more by one sync of their whole file system."""

_PART_FILES = 32
_PART_BYTES = 1024 * 1024
_MOST_PARTS = 16
"""Images go to the threads that write them in parts, each closed by its count or its size; so many may wait."""

_WRITERS = 2
"""Making a file is mostly waiting for the file system, which takes files of several folders at once."""


class ImageFiles:
    """A folder of images. What changes it belongs to whoever holds the transaction."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._root = folder, str(folder)
        self._incoming = folder / "incoming"
        private_folder(folder)
        private_folder(self._incoming)
        self._count = itertools.count()
        self._made: set[str] = set()
        self._placed: dict[bytes, None] = {}
        self._part: list[tuple[bytes, bytes]] = []
        self._part_bytes = 0
        self._writing: deque[Future[None]] = deque()
        self._writer: ThreadPoolExecutor | None = None

    def path(self, digest: bytes) -> Path:
        """Return where the image of a digest lies, or would lie."""
        return Path(self._path(digest))

    def place(self, digest: bytes, content: bytes) -> None:
        """Have an image written: it is there after `settle`, and durable after `sync`.

        Raises OSError, here or there, where it or one before it could not be written.
        """
        self._placed[digest] = None
        self._part.append((digest, content))
        self._part_bytes += len(content)
        if self._part_bytes < _PART_BYTES and len(self._part) < _PART_FILES:
            return
        if self._writer is None:
            self._writer = ThreadPoolExecutor(_WRITERS, thread_name_prefix="images")
        self._writing.append(self._writer.submit(self._write, self._taken_part()))
        while len(self._writing) > _MOST_PARTS or (self._writing and self._writing[0].done()):
            self._writing.popleft().result()

    def settle(self) -> None:
        """Wait until all that was placed is written. Raises OSError."""
        self._write(self._taken_part())
        while self._writing:
            self._writing.popleft().result()

    def sync(self) -> None:
        """Make all that was placed since the last sync durable, with as few syncs as possible."""
        self.settle()
        if not self._placed:
            return
        if len(self._placed) > _FEW and sync_file_system(self.folder):
            self._placed.clear()
            return
        paths = [self.path(digest) for digest in self._placed]
        for path in paths:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        for folder in {path.parent for path in paths}:
            sync_folder(folder)
        sync_folder(self.folder)
        self._placed.clear()

    def forget_placed(self) -> None:
        """Leave the rest unwritten or unsynced: its transaction was lost."""
        self._taken_part()
        for writing in self._writing:
            writing.cancel()
        wait(self._writing)
        self._writing.clear()
        self._placed.clear()

    def read(self, digest: bytes) -> bytes:
        """Read an image and prove it. Raises Corrupt where it is not there or not what its digest says."""
        from blake3 import blake3

        self.settle()
        path = self.path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise Corrupt(f"the image {path} is missing", REMEDY) from error
        if blake3(content).digest() != digest:
            raise Corrupt(f"the image {path} was changed on the disk", REMEDY)
        return content

    def holds(self, digest: bytes, content: bytes) -> bool:
        """Tell whether an image was placed just now, or else its file has this content."""
        if digest in self._placed:
            return True
        path = self.path(digest)
        try:
            return path.stat().st_size == len(content) and path.read_bytes() == content
        except FileNotFoundError:
            return False

    def remove(self, digests: Collection[bytes]) -> None:
        """Remove images, durably; those that are gone already are passed over."""
        paths = [self.path(digest) for digest in digests]
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths if path.parent.is_dir()}:
            sync_folder(folder)

    def sweep(self, known: Callable[[bytes], bool]) -> int:
        """Remove files of images that are not `known`, and what was staged by processes that are gone."""
        swept = 0
        for staged in self._incoming.iterdir():
            if abandoned(staged):
                staged.unlink(missing_ok=True)
                swept += 1
        for folder in self.folder.iterdir():
            if len(folder.name) != 2:
                continue
            for path in folder.iterdir():
                if not known(_digest(path.name)):
                    path.unlink(missing_ok=True)
                    swept += 1
        return swept

    def close(self) -> None:
        """End the threads."""
        self.forget_placed()
        if self._writer is not None:
            self._writer.shutdown()

    def _taken_part(self) -> list[tuple[bytes, bytes]]:
        part, self._part, self._part_bytes = self._part, [], 0
        return part

    def _write(self, part: list[tuple[bytes, bytes]]) -> None:
        for digest, content in part:
            path = self._path(digest)
            shard = path[:-65]
            if shard not in self._made:
                private_folder(Path(shard))
                self._made.add(shard)
            try:
                _written(path, content)
            except FileExistsError:
                self._replace(path, content)

    def _replace(self, path: str, content: bytes) -> None:
        """Put a file in the place of one that somebody may be reading."""
        staged = f"{self._root}/incoming/{os.getpid()}-{id(self):x}-{next(self._count)}"
        try:
            _written(staged, content)
            Path(staged).replace(path)
        except OSError:
            Path(staged).unlink(missing_ok=True)
            raise

    def _path(self, digest: bytes) -> str:
        name = digest.hex()
        return f"{self._root}/{name[:2]}/{name}"

    def pin(self) -> Pin:
        """Keep all images in place until the pin is released or its process is gone."""
        return Pin(self.folder / "pin.lock")

    @contextlib.contextmanager
    def unpinned(self) -> Iterator[bool]:
        """Tell whether nobody has pinned the images, and let nobody do it during the block."""
        handle = _lock_file(self.folder / "pin.lock")
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)


class Pin:
    """Keeps images in place while it lives, even those that no record speaks of any more."""

    def __init__(self, path: Path) -> None:
        handle = _lock_file(path)
        self.release = weakref.finalize(self, os.close, handle)
        fcntl.flock(handle, fcntl.LOCK_SH)


def sync_file_system(folder: Path) -> bool:
    """Make all that was written to the folder's file system durable; False where this system has no such call."""
    call = _syncfs()
    if call is None:
        return False
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if call(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)
    return True


def _written(path: str, content: bytes) -> None:
    """Write a new file; none is left where that fails. Raises FileExistsError where there is one already."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(handle, content)
        while written < len(content):  # the disk is nearly full: the next call says so
            written += os.write(handle, content[written:])
    except OSError:
        Path(path).unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


@cache
def _syncfs() -> Callable[[int], int] | None:
    # Linux since 2.6.39
    return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


def _lock_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _digest(name: str) -> bytes:
    try:
        return bytes.fromhex(name)
    except ValueError:
        return b""
