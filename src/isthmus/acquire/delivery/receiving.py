"""Takes a body piece by piece. What is small stays in memory; a large content ends in a file of its own.

Nothing is parsed before `finish`, which first compares the whole body with the digest that was signed; only the
head's length is looked at, to know where the content begins.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from blake3 import blake3

from isthmus.acquire.delivery.package import (
    INLINE_BYTES,
    LENGTH,
    MOST_TOGETHER,
    STANDARD,
    Caps,
    Package,
    decoded,
    head_length,
    holds_large,
    read_parts,
    unpack,
    unpack_contents,
)
from isthmus.core.errors import Corrupt


class Receiving:
    """One body on its way in. Leave it as a context manager: on an error the file is removed."""

    def __init__(self, into: Path, announced: int | None = None, caps: Caps = STANDARD) -> None:
        """Begin. `into` is where a large content is to lie; `announced` the Content-Length, None where unknown.

        Raises Corrupt where more is announced than any delivery has.
        """
        self._into, self._caps = into, caps
        self._pieces: list[bytes] = []  # joined once: what grows is copied again and again
        self._whole, self._content = blake3(), blake3()
        self._file: BinaryIO | None = None
        self._head = b""
        self._size = 0
        self._announced = announced
        if announced is not None and announced > caps.most_body:
            raise self._too_large()

    def feed(self, piece: bytes) -> None:
        """Take the next piece. Raises Corrupt for more than was announced or allowed, OSError."""
        self._size += len(piece)
        if self._size > (self._caps.most_body if self._announced is None else self._announced):
            raise self._too_large()
        if self._file is not None:
            self._whole.update(piece)
            self._content.update(piece)
            self._file.write(piece)
            return
        self._pieces.append(piece)
        if self._size > LENGTH + self._caps.most_head + MOST_TOGETHER:
            held = b"".join(self._pieces)
            self._whole.update(held)
            self._into_file(held)

    def finish(self, digest: str) -> Package:
        """Compare with the digest that was signed and unpack. Raises Corrupt, OSError.

        A content of more than INLINE_BYTES then lies in the file `into`, by itself.
        """
        if self._announced is not None and self._size != self._announced:
            raise Corrupt(f"{self._size:,} bytes came of {self._announced:,}", "send the delivery again")
        held = b"".join(self._pieces)
        self._pieces.clear()
        if self._file is None:
            self._whole.update(held)  # at one go it takes half the time
        if not hmac.compare_digest(self._whole.hexdigest(), digest):
            raise Corrupt("the body is not what was signed", "send the delivery again")
        if self._file is None and len(held) > INLINE_BYTES:
            begin = LENGTH + head_length(held[:LENGTH], self._caps)
            head = decoded(held[LENGTH:begin])
            if not holds_large(head):
                return unpack_contents(head, memoryview(held), begin, self._caps, copied=False)
            self._into_file(held)
        if self._file is None:
            return unpack(held, self._caps, copied=False)
        self._file.close()
        size = self._size - LENGTH - len(self._head)
        return read_parts(self._head, self._into, size, self._content.hexdigest(), self._caps)

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

    def _into_file(self, held: bytes) -> None:
        """Go on in a file: what came is more than travels together."""
        self._pieces.clear()
        begin = LENGTH + head_length(held[:LENGTH], self._caps)
        self._head = held[LENGTH:begin]
        self._file = self._into.open("wb")
        with memoryview(held)[begin:] as content:
            self._content.update(content)
            self._file.write(content)

    def _too_large(self) -> Corrupt:
        most = self._caps.most_body if self._announced is None else min(self._announced, self._caps.most_body)
        return Corrupt(f"a delivery of more than {most:,} bytes", "send what is allowed, and what was announced")
