"""The one member of a gate bundle: records one after the other, each put or gone, each a BSON document.

    {op: "p", name: <string>, body: <binary, subtype 0>}        {op: "d", name: <string>}

A gatekeeper that lets only BSON pass can read them (bsonspec.org, 1.1); here they are written and read as their
one form in bytes, so that a body is never whole in memory. In a snapshot all are put, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from isthmus.core.errors import Corrupt

MEMBER = "entries.bson"
MOST_NAME = 64
MOST_BODY = (1 << 31) - 4096
"""A BSON document counts its bytes in 31 bits."""
PIECE = 1 << 20
END = b"\0"
"""What ends a document."""
_PUT, _GONE = b"p", b"d"
_BEFORE_OP = b"\x02op\0\x02\0\0\0"
_BEFORE_NAME = b"\0\x02name\0"
_BEFORE_BODY = b"\x05body\0"
_COUNT = 4


@dataclass(frozen=True, slots=True)
class Record:
    """What stands before a body. `size` is the body's, in bytes."""

    name: str
    gone: bool
    size: int = 0

    def encoded(self) -> bytes:
        """Write a record that is gone; of one that is put, what stands before the body, which `END` follows."""
        name = self.name.encode("ascii") + END
        fields = _BEFORE_OP + (_GONE if self.gone else _PUT) + _BEFORE_NAME + _number(len(name)) + name
        if not self.gone:
            fields += _BEFORE_BODY + _number(self.size) + b"\0"
        whole = _number(_COUNT + len(fields) + self.size + len(END)) + fields
        return whole + END if self.gone else whole

    def stretches(self, body: Iterator[bytes]) -> Iterator[bytes]:
        """Write the whole record; `body` yields nothing where it is gone."""
        yield self.encoded()
        yield from body
        if not self.gone:
            yield END


class Records:
    """Reads records from pieces. Each body is read to its end before the next record."""

    def __init__(self, pieces: Iterator[bytes], most_body: int) -> None:
        self._pieces, self._most = pieces, min(most_body, MOST_BODY)
        self._held = b""
        self._left: int | None = None

    def next(self) -> Record | None:
        """Return the next record; None at the end. Raises Corrupt."""
        assert self._left is None, "the body before was read"
        first = self._take(_COUNT, end=True)
        if not first:
            return None
        self._exactly(_BEFORE_OP)
        op = self._take(1)
        self._exactly(_BEFORE_NAME)
        length = int.from_bytes(self._take(_COUNT), "little")
        if op not in (_PUT, _GONE) or not 1 < length <= MOST_NAME + 1:
            raise _strange()
        name, size = self._take(length), 0
        if op == _PUT:
            self._exactly(_BEFORE_BODY)
            size = int.from_bytes(self._take(_COUNT), "little")
            self._exactly(b"\0")
        else:
            self._exactly(END)
        if not name.isascii() or name.find(END) != length - 1 or size > self._most:
            raise Corrupt(f"the record {name!r} cannot be right", "look at the sender's version")
        record = Record(name[:-1].decode("ascii"), op == _GONE, size)
        if record.encoded()[:_COUNT] != first:
            raise _strange()
        self._left = size if op == _PUT else None
        return record

    def body(self) -> Iterator[bytes]:
        """Yield the body of the record that was read last, in pieces. Raises Corrupt where it ends early."""
        while self._left:
            if not self._held:
                self._held = next(self._pieces, b"")
                if not self._held:
                    raise _early()
            piece, self._held = self._held[: self._left], self._held[self._left :]
            self._left -= len(piece)
            yield piece
        if self._left is not None:
            self._exactly(END)
            self._left = None

    def _exactly(self, expected: bytes) -> None:
        if self._take(len(expected)) != expected:
            raise _strange()

    def _take(self, count: int, *, end: bool = False) -> bytes:
        while len(self._held) < count:
            piece = next(self._pieces, b"")
            if not piece:
                if end and not self._held:
                    return b""
                raise _early()
            self._held += piece
        taken, self._held = self._held[:count], self._held[count:]
        return taken


def _number(value: int) -> bytes:
    return value.to_bytes(_COUNT, "little")


def _strange() -> Corrupt:
    return Corrupt("the bundle holds something else than records", "look at the sender's version")


def _early() -> Corrupt:
    return Corrupt("the bundle ends within a record", "ask for it again")
