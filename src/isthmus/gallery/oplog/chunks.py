"""Takes exact stretches from a stream that comes in chunks of any size, and knows how far it has come."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.core.errors import Corrupt


class Chunks:
    """A stream of bytes. `offset` is how many were taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._coming = iter(chunks)
        self._chunk = b""
        self._at = 0
        self.offset = 0

    def peek(self, size: int) -> bytes:
        """Return the next bytes without taking them; fewer than `size` at the end."""
        while len(self._chunk) - self._at < size:
            more = next(self._coming, None)
            if more is None:
                break
            self._chunk = self._chunk[self._at :] + more
            self._at = 0
        return self._chunk[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """Take exactly `size` bytes. Raises Corrupt where the stream ends before."""
        end = self._at + size
        if end <= len(self._chunk):
            taken = self._chunk[self._at : end]
            self._at = end
        else:
            taken = self._gathered(size)
        self.offset += size
        return taken

    def _gathered(self, size: int) -> bytes:
        pieces = [self._chunk[self._at :]]
        missing = size - len(pieces[0])
        while missing > 0:
            more = next(self._coming, None)
            if more is None:
                raise Corrupt(
                    f"the entries end at byte {self.offset + size - missing}, {missing} bytes too early",
                    "the file is cut off: get it again",
                )
            pieces.append(more)
            missing -= len(more)
        last = pieces.pop()
        kept = len(last) + missing
        pieces.append(last[:kept])
        self._chunk, self._at = last, kept
        return b"".join(pieces)
