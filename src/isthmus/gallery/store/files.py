"""Images as files: one file per content, named by its BLAKE3, in 256 folders by the first two digits.

Where a set says so, small ones are packed together instead (`pack`). Nobody else needs to know where an image
lies: `image` hands it out for reading, and what follows holds for both.

Files are written by threads of their own while their transaction goes on; what is committed was made durable
before. A file that no committed row speaks of is not trusted (it may have come with a transaction that was lost,
or half of it did) and is written again when its content comes again; `sweep` removes such files. So is a file
that was damaged or is gone: replacing the image by itself at the inner site heals it at every site. What takes the
place of a file is written under another name first and then renamed, for readers.
Folders and files are their owner's alone: faces are biometric data.
"""

from __future__ import annotations

import ctypes
import itertools
import os
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

from isthmus.core.errors import Corrupt
from isthmus.gallery.ports import StoredImage
from isthmus.gallery.store.pack import SMALL_BYTES, Pack
from isthmus.gallery.store.pin import Pin, unpinned
from isthmus.gallery.store.stored import FileImage, PackedImage
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
    """A folder of images. What changes it belongs to whoever holds the transaction.

    With `packed` small images that come are packed; those that have files already keep them. An image that is
    packed stays packed, also where the set is opened without.
    """

    def __init__(self, folder: Path, *, packed: bool = False) -> None:
        self.folder, self._root = folder, str(folder)
        self._incoming = folder / "incoming"
        private_folder(folder)
        private_folder(self._incoming)
        self._small_bytes = SMALL_BYTES if packed else 0
        self._pack = Pack(folder) if packed or Pack.there(folder) else None
        self._count = itertools.count()
        self._made: set[str] = set()
        self._placed: set[bytes] = set()
        self._filed: dict[bytes, None] = {}
        self._part, self._small_part = _Part(), _Part()
        self._writing: deque[Future[None]] = deque()
        self._writer: ThreadPoolExecutor | None = None

    def path(self, digest: bytes) -> Path:
        """Return where the file of an image lies, or would lie where it has one."""
        return Path(self._path(digest))

    def image(self, digest: bytes) -> StoredImage:
        """Return an image as it lies here, or would lie."""
        if self._pack is not None and (content := self._pack.content(digest)) is not None:
            return PackedImage(self._pack, digest, content)
        return FileImage(self.path(digest), digest)

    def place(self, digest: bytes, content: bytes) -> None:
        """Have an image written: it is there after `settle`, and durable after `sync`.

        Raises OSError, Busy, here or there, where it or one before it could not be written.
        """
        self._placed.add(digest)
        if len(content) < self._small_bytes or (self._pack is not None and self._pack.content(digest) is not None):
            part, write = self._small_part, self._write_small
        else:
            part, write = self._part, self._write
            self._filed[digest] = None
        part.add(digest, content)
        if not part.full:
            return
        if self._writer is None:
            self._writer = ThreadPoolExecutor(_WRITERS, thread_name_prefix="images")
        self._writing.append(self._writer.submit(write, part.taken()))
        while len(self._writing) > _MOST_PARTS or (self._writing and self._writing[0].done()):
            self._writing.popleft().result()

    def settle(self) -> None:
        """Wait until all that was placed is written. Raises OSError, Busy."""
        self._write(self._part.taken())
        self._write_small(self._small_part.taken())
        while self._writing:
            self._writing.popleft().result()

    def sync(self) -> None:
        """Make all that was placed since the last sync durable, with as few syncs as possible."""
        self.settle()
        if self._pack is not None:
            self._pack.commit()
        self._sync_files()
        self._filed.clear()
        self._placed.clear()

    def forget_placed(self) -> None:
        """Leave the rest unwritten or unsynced: its transaction was lost."""
        self._part.taken(), self._small_part.taken()
        for writing in self._writing:
            writing.cancel()
        wait(self._writing)
        self._writing.clear()
        self._filed.clear()
        self._placed.clear()
        if self._pack is not None:
            self._pack.rollback()

    def read(self, digest: bytes) -> bytes:
        """Read an image and prove it. Raises Corrupt where it is not there or not what its digest says."""
        from blake3 import blake3

        self.settle()
        image = self.image(digest)
        try:
            content = image.read()
        except FileNotFoundError as error:
            raise Corrupt(f"the image {image} is missing", REMEDY) from error
        if blake3(content).digest() != digest:
            raise Corrupt(f"the image {image} was changed on the disk", REMEDY)
        return content

    def holds(self, digest: bytes, content: bytes) -> bool:
        """Tell whether an image was placed just now, or else has this content where it lies."""
        return digest in self._placed or self.image(digest).is_of(content)

    def remove(self, digests: Collection[bytes]) -> None:
        """Remove images, durably; those that are gone already are passed over. Packed ones are overwritten."""
        packed = set() if self._pack is None else self._pack.remove(digests)
        for digest in packed:
            self.path(digest).unlink(missing_ok=True)  # one from before it was packed
        paths = [self.path(digest) for digest in digests if digest not in packed]
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths if path.parent.is_dir()}:
            sync_folder(folder)

    def sweep(self, known: Callable[[bytes], bool]) -> int:
        """Remove images that are not `known`, files of packed ones, and what processes now gone have staged."""
        swept = 0 if self._pack is None else self._pack.sweep(known)
        for staged in self._incoming.iterdir():
            if abandoned(staged):
                staged.unlink(missing_ok=True)
                swept += 1
        for folder in self.folder.iterdir():
            if len(folder.name) != 2:
                continue
            for path in folder.iterdir():
                digest = _digest(path.name)
                if not known(digest) or self._packed(digest):
                    path.unlink(missing_ok=True)
                    swept += 1
        return swept

    def close(self) -> None:
        """End the threads."""
        self.forget_placed()
        if self._writer is not None:
            self._writer.shutdown()
        if self._pack is not None:
            self._pack.close()

    def pin(self) -> Pin:
        """Keep all images in place until the pin is released or its process is gone."""
        return Pin(self.folder / "pin.lock")

    def unpinned(self) -> AbstractContextManager[bool]:
        """Tell whether nobody has pinned the images, and let nobody do it during the block."""
        return unpinned(self.folder / "pin.lock")

    def _packed(self, digest: bytes) -> bool:
        image = self.image(digest)
        return isinstance(image, PackedImage) and image.proven()

    def _sync_files(self) -> None:
        if not self._filed or (len(self._filed) > _FEW and sync_file_system(self.folder)):
            return
        paths = [self.path(digest) for digest in self._filed]
        for path in paths:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        for folder in {path.parent for path in paths}:
            sync_folder(folder)
        sync_folder(self.folder)

    def _write_small(self, part: list[tuple[bytes, bytes]]) -> None:
        if part:
            assert self._pack is not None
            self._pack.write(part)

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


class _Part:
    """Images on their way to the threads that write them."""

    def __init__(self) -> None:
        self._images: list[tuple[bytes, bytes]] = []
        self._bytes = 0

    @property
    def full(self) -> bool:
        return self._bytes >= _PART_BYTES or len(self._images) >= _PART_FILES

    def add(self, digest: bytes, content: bytes) -> None:
        self._images.append((digest, content))
        self._bytes += len(content)

    def taken(self) -> list[tuple[bytes, bytes]]:
        images, self._images, self._bytes = self._images, [], 0
        return images


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


def _digest(name: str) -> bytes:
    try:
        return bytes.fromhex(name)
    except ValueError:
        return b""
