"""Takes a body piece by piece. The head comes first, and is compared with what was signed before it is parsed.

Contents are compared with the digests that the head has of them, as they come. Small ones stay in memory, in the
pieces in which they came; a large one goes into a file of its own.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from blake3 import blake3

from isthmus.acquire.delivery.package import (
    INLINE_BYTES,
    LENGTH,
    STANDARD,
    Caps,
    Head,
    Item,
    Package,
    check,
    decoded,
    head_length,
    part_of,
)
from isthmus.acquire.image import InMemory
from isthmus.core.errors import Corrupt

_AGAIN = "send the delivery again"
_LEAST = 4096
"""Smaller pieces wait for others: however thin a body is cut, it lies in few pieces."""
_NOTHING = blake3().hexdigest()


class Receiving:
    """One body on its way in. Leave it as a context manager: on an error the file is removed."""

    def __init__(
        self, into: Path, digest: str | None, announced: int | None = None, caps: Caps = STANDARD
    ) -> None:
        """Begin. `into` is where a large content is to lie.

        `digest` is what was signed; None for a body that was proven as a whole: content that is not what its own
        digest says then becomes a failure, as in `unpack`. `announced` is the Content-Length, None where unknown.
        Raises Corrupt where more is announced than any delivery has.
        """
        self._into, self._digest, self._announced, self._caps = into, digest, announced, caps
        self._size = 0
        self._waiting: list[bytes] = []  # and how many bytes wait, and how many must before they are read
        self._waits, self._wanted = 0, LENGTH
        self._head: Head | None = None
        self._coming: Iterator[Item] = iter(())  # the contents that have not begun
        self._left, self._proof = 0, blake3()  # of the one that is coming: bytes, and what came of it
        self._pieces: list[memoryview] = []
        self._file: BinaryIO | None = None
        self._came: list[tuple[InMemory | Path, str]] = []  # those that came: where, and their digests
        if announced is not None and announced > caps.most_body:
            raise self._too_large()

    def feed(self, piece: bytes) -> None:
        """Take the next piece, which must not change. Raises OSError, and Corrupt for what was not signed so."""
        self._size += len(piece)
        if self._size > (self._caps.most_body if self._announced is None else self._announced):
            raise self._too_large()
        self._waiting.append(piece)
        self._waits += len(piece)
        if self._waits >= self._wanted:
            self._go_on()

    def finish(self) -> Package:
        """Return what came. Raises OSError, and Corrupt where it is not all, or not what was signed."""
        if self._announced is not None and self._size != self._announced:
            raise Corrupt(f"{self._size:,} bytes came of {self._announced:,}", _AGAIN)
        if self._head is not None:
            self._go_on()
        if self._head is None or self._left or next(self._coming, None) is not None:
            raise Corrupt(f"the delivery ends after {self._size:,} bytes, before its end", _AGAIN)
        came, parts = iter(self._came), []
        for item in self._head.items:
            where, proof = next(came) if item.size else (b"", _NOTHING)
            if self._digest is not None and item.failure is None and proof != item.digest:
                raise Corrupt(f"the content of request {item.request} is not what was signed", _AGAIN)
            parts.append(part_of(item, where, proof))
        return Package(self._head.agent, tuple(parts))

    def discard(self) -> None:
        """Close and remove the file."""
        if self._file is not None:
            self._file.close()
            self._into.unlink(missing_ok=True)

    def __enter__(self) -> Receiving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()

    def _go_on(self) -> None:
        """Read what waits: the head's length, the head, contents."""
        came = b"".join(self._waiting)
        if self._head is None:
            if self._wanted == LENGTH:
                self._wanted += head_length(came[:LENGTH], self._caps)
            if len(came) < self._wanted:
                self._waiting = [came]
                return
            self._head = self._proven(came[: self._wanted])
            self._coming = iter([item for item in self._head.items if item.size])
            content = memoryview(came)[self._wanted :]
            self._wanted = _LEAST
        else:
            content = memoryview(came)
        self._waiting, self._waits = [], 0
        self._take(content)

    def _proven(self, first: bytes) -> Head:
        """Compare the head with what was signed, and parse it."""
        if self._digest is not None and not hmac.compare_digest(blake3(first).hexdigest(), self._digest):
            raise Corrupt("the head of the delivery is not what was signed", _AGAIN)
        head = decoded(first[LENGTH:])
        check(head, None if self._announced is None else self._announced - len(first), self._caps)
        return head

    def _take(self, piece: memoryview) -> None:
        """Share a piece out among the contents that it holds."""
        while piece:
            if not self._left:
                self._next()
            mine, piece = piece[: self._left], piece[self._left :]
            self._left -= len(mine)
            self._proof.update(mine)
            if self._file is not None:
                self._file.write(mine)
            else:
                self._pieces.append(mine)
            if not self._left:
                self._end()

    def _next(self) -> None:
        item = next(self._coming, None)
        if item is None:
            raise Corrupt("the delivery goes on behind its last content", _AGAIN)
        self._left, self._proof, self._pieces = item.size, blake3(), []
        if item.size > INLINE_BYTES:
            self._file = self._into.open("wb")

    def _end(self) -> None:
        where: InMemory | Path = self._pieces[0] if len(self._pieces) == 1 else tuple(self._pieces)
        if self._file is not None:  # it is the only content
            self._file.close()
            where = self._into
        self._came.append((where, self._proof.hexdigest()))

    def _too_large(self) -> Corrupt:
        most = self._caps.most_body if self._announced is None else min(self._announced, self._caps.most_body)
        return Corrupt(f"a delivery of more than {most:,} bytes", "send what is allowed, and what was announced")
