"""The one member of a gate bundle: records one after the other, each put or gone.

    op (1 byte: p or d) | length of the name (u16, big-endian) | name | length of the body (u64) | body

A record that is gone has no body. In a snapshot all are put, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from isthmus.core.errors import Corrupt

MEMBER = "records"
MOST_NAME = 64
PIECE = 1 << 20
_PUT, _GONE = b"p", b"d"


@dataclass(frozen=True, slots=True)
class Record:
    """What stands before a body. `size` is the body's, in bytes."""

    name: str
    gone: bool
    size: int = 0

    def encoded(self) -> bytes:
        """Write what stands before the body."""
        name = self.name.encode("ascii")
        head = (_GONE if self.gone else _PUT) + len(name).to_bytes(2, "big") + name
        return head + self.size.to_bytes(8, "big")


class Records:
    """Reads records from pieces. Each body is read to its end before the next record."""

    def __init__(self, pieces: Iterator[bytes], most_body: int) -> None:
        self._pieces, self._most = pieces, most_body
        self._held = b""
        self._left = 0

    def next(self) -> Record | None:
        """Return the next record; None at the end. Raises Corrupt."""
        assert not self._left, "the body before was read"
        op = self._take(1, end=True)
        if not op:
            return None
        length = int.from_bytes(self._take(2), "big")
        if op not in (_PUT, _GONE) or not 0 < length <= MOST_NAME:
            raise Corrupt("the bundle holds something else than records", "look at the sender's version")
        name = self._take(length)
        self._left = int.from_bytes(self._take(8), "big")
        if not name.isascii() or self._left > self._most or (op == _GONE and self._left):
            raise Corrupt(f"the record {name!r} cannot be right", "look at the sender's version")
        return Record(name.decode("ascii"), op == _GONE, self._left)

    def body(self) -> Iterator[bytes]:
        """Yield the body of the record that was read last, in pieces. Raises Corrupt where it ends early."""
        while self._left:
            if not self._held:
                self._held = next(self._pieces, b"")
                if not self._held:
                    raise Corrupt("the bundle ends within a record", "ask for it again")
            piece, self._held = self._held[: self._left], self._held[self._left :]
            self._left -= len(piece)
            yield piece

    def _take(self, count: int, *, end: bool = False) -> bytes:
        while len(self._held) < count:
            piece = next(self._pieces, b"")
            if not piece:
                if end and not self._held:
                    return b""
                raise Corrupt("the bundle ends within a record", "ask for it again")
            self._held += piece
        taken, self._held = self._held[:count], self._held[count:]
        return taken
