"""A part of a round: pieces of files, as the members of one bundle; the last part holds the change of barrier.

Members: `index` (JSON: the round's key, the number of this part, and its pieces in order), `files` (the pieces'
bytes, one after the other), and in the last part `change` (JSON, see `barrier.Change`). A snapshot bundle of a
stream of recovery carries no tables: its member `begin` says that everything follows in parts, from nothing.

The digest of a stream's position after a part that is not the last is that of the last whole barrier, plus the
hash of each part's index since; after the last part it is the digest of the new barrier.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.core.digest import Digest, record_hash
from isthmus.recovery.barrier import DIGEST_BYTES

INDEX, FILES, CHANGE, BEGIN = "index", "files", "change", "begin"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a content: its BLAKE3 and whole size, where the stretch begins and how long it is, in bytes."""

    digest: bytes
    size: int
    offset: int
    length: int

    def __post_init__(self) -> None:
        if len(self.digest) != DIGEST_BYTES or not 0 <= self.offset <= self.offset + self.length <= self.size:
            raise ValueError("no stretch of a content")


@dataclass(frozen=True, slots=True)
class Index:
    """What a part holds. `number` counts the parts of a round from 1; `last` marks the one with the change."""

    key: str
    number: int
    last: bool
    pieces: tuple[Piece, ...]

    def to_bytes(self) -> bytes:
        """Write the index: equal indexes give equal bytes."""
        pieces = [[piece.digest.hex(), piece.size, piece.offset, piece.length] for piece in self.pieces]
        return json.dumps({"key": self.key, "number": self.number, "last": self.last, "pieces": pieces}).encode()

    @classmethod
    def of_bytes(cls, raw: bytes) -> Index:
        """Read what `to_bytes` writes. Raises ValueError on anything else."""
        try:
            value: Mapping[str, Any] = json.loads(raw)
            pieces = tuple(Piece(bytes.fromhex(d), int(s), int(o), int(n)) for d, s, o, n in value["pieces"])
            return cls(str(value["key"]), int(value["number"]), bool(value["last"]), pieces)
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise ValueError(f"no index of a part: {error!r}") from error

    def added_to(self, digest: Digest, key: bytes) -> Digest:
        """Return the digest of the position after this part, where it is not the last."""
        return digest.plus(record_hash(key, b"part", self.to_bytes()))


def parted(contents: Iterable[tuple[bytes, int]], most_bytes: int) -> Iterator[tuple[Piece, ...]]:
    """Cut contents, given as BLAKE3 and size, into parts of at most `most_bytes`; yields at least one part."""
    part: list[Piece] = []
    room, yielded = most_bytes, False
    for digest, size in contents:
        offset = 0
        while True:
            length = min(size - offset, room)
            part.append(Piece(digest, size, offset, length))
            offset, room = offset + length, room - length
            if not room:
                yield tuple(part)
                part, room, yielded = [], most_bytes, True
            if offset >= size:
                break
    if part or not yielded:
        yield tuple(part)
