"""Takes content as it comes: small into memory, large into a file; counted, hashed, and unpacked with a cap."""

from __future__ import annotations

import contextlib
import io
import uuid
import zlib
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.image import Told
from isthmus.acquire.ports import Got

Buffer = bytes | memoryview

SMALL = 256 * 1024
"""Content up to so many bytes stays in memory."""


def remove_left(folder: Path) -> None:
    """Make the folder for large contents, and remove what a process that died left there. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{'[0-9a-f]' * 32}.part"):
        left.unlink(missing_ok=True)


class Receiver:
    """Receives one content. `take` is False where it is to be stopped; `failure` then says why.

    A file is named <32 hexadecimal digits>.part (`mark`, or ones of its own); once `got` has handed it over it is
    the caller's.
    """

    __slots__ = (
        "_chunks",
        "_file",
        "_hash",
        "_held",
        "_path",
        "_pressed",
        "_room",
        "failure",
        "folder",
        "mark",
        "most",
        "size",
    )

    def __init__(self, folder: Path, most: int, mark: str = "") -> None:
        self.folder = folder
        self.mark = mark
        self.most = most
        self.size = 0
        self.failure: Failure | None = None
        self._chunks: list[bytes] = []
        self._held: io.BytesIO | None = None
        self._room = 0
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._hash: blake3 | None = None
        self._pressed: zlib._Decompress | None = None

    def unpack(self, encoding: str) -> bool:
        """Expect packed content; False where this packing is not known."""
        if encoding not in ("gzip", "x-gzip", "deflate"):
            self.failure = Failure(
                Kind.NOT_AN_IMAGE, f"the server packed the content as {encoding[:40]!r}, unasked"
            )
            return False
        self._pressed = zlib.decompressobj(zlib.MAX_WBITS + 32)
        return True

    def expect(self, length: int) -> None:
        """Take note of the length that was announced, so that small content is written where it stays."""
        if 0 < length <= min(SMALL, self.most):
            self._room = length

    def take(self, chunk: Buffer) -> bool:
        """Receive the next bytes, which may change once this has returned."""
        if self._pressed is not None:
            return self._unpacked(self._pressed, chunk)
        self.size += len(chunk)
        if self.size <= self._room and not self._chunks:  # the smallest images come in one piece
            if self._held is None and self.size < self._room:
                self._held = io.BytesIO()
                self._held.seek(self._room - 1)
                self._held.write(b"\0")
                self._held.seek(0)
            if self._held is not None:
                self._held.write(chunk)
                return True
        if self.size > SMALL or self.size > self.most:
            return self._large(chunk)
        self._chunks.append(bytes(chunk))
        return True

    def got(self, told: Told, seconds: float) -> Got | Failure:
        """Finish: what came, or why it cannot be used."""
        if self._pressed is not None and not self._pressed.eof and self.failure is None:
            self.failure = Failure(Kind.CUT, "the packed content ended before its end")
        if self.failure is not None:
            self.close()
            return self.failure
        if self._file is None:
            content = self._small()
            return Got(content, len(content), blake3(content).hexdigest(), told, seconds)
        try:
            self._file.close()
        except OSError as error:
            self.failure = _disk(error)
            self.close()
            return self.failure
        assert self._path is not None and self._hash is not None
        path, self._file, self._path = self._path, None, None
        return Got(path, self.size, self._hash.hexdigest(), told, seconds)

    def close(self) -> None:
        """Let go of everything; a file that nobody got is removed."""
        self._chunks, self._held = [], None
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._path = None

    def _small(self) -> bytes:
        if self._held is None:
            content = b"".join(self._chunks)
        elif self.size == self._room:
            content = self._held.getvalue()
        else:  # not as long as announced
            content = b"".join((self._held.getbuffer()[: self._held.tell()], *self._chunks))
        self._chunks, self._held = [], None
        return content

    def _large(self, chunk: Buffer) -> bool:
        if self.size > self.most:
            self.failure = Failure(Kind.TOO_LARGE, f"more than {self.most:,} bytes")
            return False
        try:
            if self._file is None or self._hash is None:
                self._path = self.folder / f"{self.mark or uuid.uuid4().hex}.part"
                self._file = self._path.open("xb", buffering=0)
                self._hash = blake3()
                self.size -= len(chunk)
                earlier = self._small()
                self.size += len(chunk)
                self._hash.update(earlier)
                _write(self._file, earlier)
            self._hash.update(chunk)
            _write(self._file, chunk)
        except OSError as error:
            self.failure = _disk(error)
            return False
        return True

    def _unpacked(self, pressed: zlib._Decompress, chunk: Buffer) -> bool:
        try:
            while not pressed.eof:
                plain = pressed.decompress(chunk, SMALL)
                self._pressed = None
                fine = self.take(plain) if plain else True
                self._pressed = pressed
                if not fine:
                    return False
                chunk = pressed.unconsumed_tail
                if not chunk and len(plain) < SMALL:
                    break  # all of it is out; what follows the end would be nobody's
        except zlib.error:
            self.failure = Failure(Kind.CUT, "the content is not packed as the server says")
            return False
        return True


def _write(file: BinaryIO, chunk: Buffer) -> None:
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def _disk(error: OSError) -> Failure:
    return Failure(Kind.DISK, f"the agent's disk did not take the content: {error.strerror or error}")
