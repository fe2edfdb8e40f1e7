"""Reads oplog files: concatenated BSON, as `mongodump --oplog` writes them, or MongoShake's file tunnel.

Nothing is read ahead of an entry's own length, so memory holds one chunk and one entry. Bytes that are no entry
raise Corrupt with their offset; the entries before them were handed out.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from isthmus.core.errors import Corrupt
from isthmus.gallery.oplog.chunks import Chunks
from isthmus.gallery.oplog.entry import MOST_ENTRY_BYTES, RawEntry

TUNNEL_MAGIC = bytes.fromhex("eeeeeeeeee201314")

_SMALLEST = 5  # the empty document


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How large one entry may be, and one block of a tunnel file, in bytes, unpacked."""

    most_entry_bytes: int = MOST_ENTRY_BYTES
    most_block_bytes: int = 256 * 1024 * 1024


class Container(enum.Enum):
    """What an oplog file is written as."""

    BSON = "concatenated BSON"
    TUNNEL = "MongoShake's file tunnel"


def sniff(beginning: bytes) -> Container:
    """Tell by its first 8 bytes what a file is. An empty file is BSON without entries."""
    return Container.TUNNEL if beginning[:8] == TUNNEL_MAGIC else Container.BSON


def entries(chunks: Iterable[bytes], limits: ReadLimits | None = None) -> Iterator[RawEntry]:
    """Stream the entries of concatenated BSON that comes in chunks of any size.

    Raises Corrupt, with the offset, where bytes are no entry, an entry is larger than allowed, or the last one is
    cut off.
    """
    stream = chunks if isinstance(chunks, Chunks) else Chunks(chunks)
    most = (limits or ReadLimits()).most_entry_bytes
    while beginning := stream.peek(4):
        at = stream.offset
        size = int.from_bytes(beginning, "little", signed=True)
        if len(beginning) == 4 and not _SMALLEST <= size <= most:
            raise Corrupt(
                f"at byte {at} stands no oplog entry: it would have {size} bytes",
                f"entries have {_SMALLEST} to {most} bytes; get the file again from its origin",
            )
        yield entry_at(stream.take(max(size, 4)), at)


def entry_at(raw: bytes, at: int) -> RawEntry:
    """Decode the entry that begins at the byte `at`. Raises Corrupt that names the place."""
    try:
        return RawEntry.read(raw)
    except Corrupt as error:
        raise Corrupt(f"at byte {at}: {error.what}", error.hint) from error
