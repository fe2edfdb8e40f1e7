"""Contents of a device as files by digest: images, large vectors, thumbnails, and parts still coming.

`<two letters>/<name>` is a whole content, verified; `.part` what has come of one so far; `.thumb` a thumbnail made
from it. All three go when the content goes. `making/` holds thumbnails that are being made; what a killed
process left there goes when the store is opened next.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from isthmus.core.errors import Corrupt
from isthmus.gallery.device.sealing import CHUNK, Sealing
from isthmus.gallery.sync.item import Ref
from isthmus.state.files import abandoned, private_file, private_folder, sync_folder

Step = Callable[[str], None]


class Contents:
    """The folder of contents. `step` is told where the work stands: tests stop it there."""

    def __init__(self, folder: Path, sealing: Sealing, step: Step) -> None:
        self._folder, self._sealing, self._step = folder, sealing, step
        self._unsynced: set[Path] = set()
        self._making = folder / "making"
        private_folder(folder)
        private_folder(self._making)
        for left in self._making.iterdir():
            if abandoned(left):
                left.unlink(missing_ok=True)

    def name(self, digest: bytes) -> str:
        """Return the file name of a content."""
        return self._sealing.name(digest)

    def has(self, digest: bytes) -> bool:
        """Tell whether a content is there, whole and verified."""
        return self._path(self.name(digest)).is_file()

    def part(self, content: Ref) -> PartFile:
        """Open a content for receiving where it was interrupted."""
        path = self._path(self.name(content.digest))
        self._unsynced.add(path.parent)
        return PartFile(path, content, self._sealing, self._step)

    def settle(self) -> None:
        """Make the names of all that was received durable; to be called before a record refers to it."""
        for folder in self._unsynced:
            if folder.is_dir():
                sync_folder(folder)
        self._unsynced.clear()

    def read(self, content: Ref) -> bytes:
        """Return a content, checked against its digest. Raises Corrupt where it is not there or was altered."""
        path = self._path(self.name(content.digest))
        try:
            whole = b"".join(_opened(path, self._sealing))
        except FileNotFoundError as error:
            raise Corrupt(f"the content {path.name[:16]} is not there", "synchronise anew") from error
        if blake3(whole).digest() != content.digest:
            raise Corrupt(f"the content {path.name[:16]} was altered on the disk", "synchronise anew")
        return whole

    def thumbnail(self, content: Ref, make: Callable[[bytes], bytes]) -> bytes:
        """Return the thumbnail of an image; `make` makes it of the image's bytes the first time."""
        path = _thumb(self._path(self.name(content.digest)))
        if path.is_file():
            return b"".join(_opened(path, self._sealing))
        small, header = make(self.read(content)), self._sealing.header()
        part = self._making / f"{os.getpid()}-{path.name}"
        try:
            private_file(part)
            with part.open("wb") as file:
                file.write(header)
                for number, at in enumerate(range(0, len(small), CHUNK)):
                    file.write(self._sealing.seal_chunk(header, number, small[at : at + CHUNK]))
                file.flush()
                os.fsync(file.fileno())
            self._step("thumbnail written")
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        if not self.has(content.digest):  # a synchronisation has removed it meanwhile
            path.unlink(missing_ok=True)
        return small

    def remove(self, name: str) -> None:
        """Remove a content with its part and thumbnail; nothing happens where they are not there."""
        path = self._path(name)
        for file in (path, _part(path), _thumb(path)):
            file.unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """List the names of all contents, parts and thumbnails; one may come more than once."""
        for file in self._folder.glob("??/*"):
            yield file.name.lstrip(".").split(".")[0]

    def sync(self) -> None:
        """Make removals durable."""
        for folder in self._folder.iterdir():
            sync_folder(folder)
        sync_folder(self._folder)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name


class PartFile:
    """A content that is being received. Whole chunks survive an interruption; the last, unfinished one may not."""

    def __init__(self, path: Path, content: Ref, sealing: Sealing, step: Step) -> None:
        self._path, self._content, self._sealing, self._step = path, content, sealing, step
        self._file: BinaryIO | None = None
        self._hash = blake3()
        self._rest = b""
        self._chunks = self._checked(self._whole())
        self.offset = self._chunks * CHUNK

    def _whole(self) -> int:
        stored = CHUNK + self._sealing.extra_bytes
        try:
            there = _part(self._path).stat().st_size - self._sealing.header_bytes
        except FileNotFoundError:
            return 0
        chunks = max(0, there // stored)
        if chunks * CHUNK >= self._content.size:  # the last chunk was written, but the file was not put in place
            chunks = max(0, -(-self._content.size // CHUNK) - 1)
        return chunks

    def _checked(self, chunks: int) -> int:
        """Hash the whole chunks that are there; none count where one was altered on the disk."""
        try:
            for chunk in itertools.islice(_opened(_part(self._path), self._sealing), chunks) if chunks else ():
                self._hash.update(chunk)
        except Corrupt:
            self._hash = blake3()
            return 0
        return chunks

    def write(self, content: bytes) -> None:
        """Add the next bytes."""
        if self._file is None:
            self._resume()
        self._rest += content
        self.offset += len(content)
        while len(self._rest) >= CHUNK:
            self._put(self._rest[:CHUNK])
            self._rest = self._rest[CHUNK:]

    def finish(self) -> bool:
        """Put the content in its place; False, and everything thrown away, where its BLAKE3 is another."""
        if self._file is None:
            self._resume()
        assert self._file is not None
        if self._rest:
            self._put(self._rest)
            self._rest = b""
        right = self._hash.digest() == self._content.digest and self.offset == self._content.size
        if right:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        if not right:
            _part(self._path).unlink()
            return False
        self._step("content written")
        _part(self._path).replace(self._path)
        self._step("content in place")
        return True

    def close(self) -> None:
        """Let go of it; whole chunks stay for the next time."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _resume(self) -> None:
        """Open the part file behind its last whole chunk and hash what is there."""
        private_folder(self._path.parent)
        part = _part(self._path)
        size = self._sealing.header_bytes + self._chunks * (CHUNK + self._sealing.extra_bytes)
        if self._chunks:
            self._file = part.open("r+b")
            self._header = self._file.read(self._sealing.header_bytes)
            self._file.truncate(size)
            self._file.seek(size)
        else:
            private_file(part)
            self._file = part.open("wb")
            self._header = self._sealing.header()
            self._file.write(self._header)

    def _put(self, chunk: bytes) -> None:
        assert self._file is not None
        self._hash.update(chunk)
        self._file.write(self._sealing.seal_chunk(self._header, self._chunks, chunk))
        self._chunks += 1
        self._step("chunk written")


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _thumb(path: Path) -> Path:
    return path.with_name(f"{path.name}.thumb")


def _opened(path: Path, sealing: Sealing) -> Iterator[bytes]:
    with path.open("rb") as file:
        header = file.read(sealing.header_bytes)
        number = 0
        while stored := file.read(CHUNK + sealing.extra_bytes):
            yield sealing.open_chunk(header, number, stored)
            number += 1
