"""Images as files: one file per content, named by its BLAKE3, in 256 folders by the first two digits.

A file is written under another name first and renamed when its transaction is about to be committed; what is
committed was made durable before. A file that no committed row speaks of is not trusted (it may have come with a
transaction that was lost) and is written again when its content comes again; `sweep` removes such files.
Folders and files are their owner's alone: faces are biometric data.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import itertools
import os
import weakref
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

from isthmus.core.errors import Corrupt
from isthmus.state.files import abandoned, opened_privately, private_folder, sync_folder

_FEW = 4
"""So many files are synced one by one; more by one sync of their whole file system."""


class ImageFiles:
    """A folder of images. Staging may be done on any thread; the rest belongs to whoever holds the transaction."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._root = folder, str(folder)
        self._incoming = folder / "incoming"
        private_folder(folder)
        private_folder(self._incoming)
        self._count = itertools.count()
        self._placed: list[bytes] = []
        self._made: set[bytes] = set()

    def path(self, digest: bytes) -> Path:
        """Return where the image of a digest lies, or would lie."""
        return Path(self._path(digest))

    def seems_held(self, digest: bytes) -> bool:
        """Tell whether a file of that name is there."""
        return os.path.exists(self._path(digest))  # noqa: PTH110 - paths as texts: this is done for every image

    def stage(self, content: bytes) -> str:
        """Write content under a name of its own, not durable yet."""
        staged = f"{self._root}/incoming/{os.getpid()}-{id(self):x}-{next(self._count)}"
        try:
            with open(staged, "wb", buffering=0, opener=opened_privately) as file:
                file.write(content)
        except OSError:
            self.unstage(staged)
            raise
        return staged

    def unstage(self, staged: str) -> None:
        """Remove what was staged and is not needed."""
        Path(staged).unlink(missing_ok=True)

    def place(self, staged: str, digest: bytes) -> None:
        """Give a staged file its name; `sync` makes it durable."""
        shard = digest[:1]
        if shard not in self._made:
            private_folder(self.path(digest).parent)
            self._made.add(shard)
        os.replace(staged, self._path(digest))  # noqa: PTH105
        self._placed.append(digest)

    def sync(self) -> None:
        """Make all that was placed since the last sync durable, with as few syncs as possible."""
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
        """Leave the rest unsynced: its transaction was lost."""
        self._placed.clear()

    def read(self, digest: bytes) -> bytes:
        """Read an image and prove it. Raises Corrupt where it is not there or not what its digest says."""
        from blake3 import blake3

        path = self.path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise Corrupt(f"the image {path} is missing", "restore it from a backup, or add it again") from error
        if blake3(content).digest() != digest:
            raise Corrupt(f"the image {path} was changed on the disk", "restore it from a backup, or add it again")
        return content

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
