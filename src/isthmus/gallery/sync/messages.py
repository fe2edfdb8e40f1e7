"""The messages between a device and the sync server, and how they are written.

A message is one byte, then MessagePack: 0 for plain, 1 for packed by zstd. Unpacked, too, it holds at most 64 KiB,
so lists go in pages. The MessagePack is an array: the message's number, then its fields in order; `FORMAT`
grows when one changes. Whatever does not decode exactly is refused.

The device speaks first. D: from the device, S: from the server, +: pages, the last with `more` false.

    D Hello+           what it holds
    D Acts*            what was identified on it since; S Noted
    S Welcome+         what it may hold and how each gallery is brought up to date; the first that differs begins
    tier reconcile:    D Ranges+  S Differ+  (again where ranges are still large)  D Leaves+
    all tiers:         S Items*  S End       at most WINDOW pages of items ahead of D More
                       D Pull     S Piece…   content, by digest, at most CREDIT_BYTES asked for and not come
    D Again            the digests differ: another tier from the start   |   D Done  S Closed, and the next begins
    D Bye
    S Refusal          instead of anything; the channel is then closed
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
import zstandard
from msgspec import Meta, Struct

from isthmus.core.errors import Refused
from isthmus.gallery.sync.item import MOST_CONTENT_BYTES, Hash32, Item
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.imaging.port import Metric
from isthmus.transfer.channel import MOST_MESSAGE_BYTES

FORMAT = 1
WINDOW = 8
"""So many pages of items may be on their way and not committed."""
CREDIT_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 60 * 1024
PAGE_BYTES = 48 * 1024
"""About so much a page holds, unpacked."""
DEEPEST = 8
"""The last level of ranges: 16 ** 8 of them, so that a prefix has 32 bits."""

_PACK_FROM = 200

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=1000)]
Number = Annotated[int, Meta(ge=-1, le=(1 << 62))]
Count = Annotated[int, Meta(ge=0, le=(1 << 62))]
Level = Annotated[int, Meta(ge=0, le=DEEPEST)]
Id8 = Annotated[bytes, Meta(max_length=8)]
Hash = Annotated[bytes, Meta(max_length=32)]


class _Part(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What messages are made of."""


class Claim(_Part, frozen=True):
    """What a device says it holds of a gallery.

    `change` is -1 where it stands at no position; `cursor` is the last key hash that an interrupted snapshot
    reached, which began when the server stood at `begun`.
    """

    gallery: Name
    epoch: Id8
    mode: Mode
    model: Text
    change: Number
    count: Count
    digest: Hash32
    begun: Number = -1
    cursor: Id8 = b""


class Kind(_Part, frozen=True):
    """What vectors need to be compared; see imaging.port.Model. `threshold` may be the gallery's own."""

    name: Text
    metric: Metric
    size: Count
    threshold: float
    scale: float


class Start(_Part, frozen=True):
    """How the server brings a gallery up to date, and where the gallery stands at the server now."""

    gallery: Name
    tier: Tier
    epoch: Id8
    key: Hash32
    mode: Mode
    model: Kind | None
    change: Number
    count: Count
    begun: Number = -1
    cursor: Id8 = b""


class Act(_Part, frozen=True):
    """One act on a device, for the audit log. `number` grows; `at` is the device's clock in ISO 8601."""

    number: Count
    at: Text
    act: Text
    gallery: Text
    subject: Text
    detail: Text


class Want(_Part, frozen=True):
    """A stretch of a content."""

    digest: Hash32
    offset: Annotated[int, Meta(ge=0, le=MOST_CONTENT_BYTES)]
    length: Annotated[int, Meta(ge=1, le=CREDIT_BYTES)]


class Hello(_Part, tag=1, frozen=True):
    """What the device holds."""

    format: int
    claims: Annotated[list[Claim], Meta(max_length=500)]
    more: bool = False


class Acts(_Part, tag=2, frozen=True):
    """What was done on the device; numbers grow within a queue."""

    queue: Id8
    acts: Annotated[list[Act], Meta(max_length=500)]


class Ranges(_Part, tag=3, frozen=True):
    """Sums of the device's item hashes over ranges of key hashes at a level.

    `sums` are u64, little-endian: of all 16 ** level ranges where `under` is empty and the level is at most 3,
    else of the 16 ranges below each prefix (u32, one level up, ascending) in `under`.
    """

    level: Level
    under: bytes
    sums: bytes
    more: bool = False


class Leaves(_Part, tag=4, frozen=True):
    """The device's records in some ranges: pairs of key hash and first item-hash lane, both u64, ascending."""

    level: Level
    prefixes: bytes
    pairs: bytes
    more: bool = False


class More(_Part, tag=5, frozen=True):
    """So many pages were committed."""

    pages: Annotated[int, Meta(ge=1, le=WINDOW)]


class Pull(_Part, tag=6, frozen=True):
    """Asks for content that was offered and not yet committed."""

    wants: Annotated[list[Want], Meta(min_length=1, max_length=500)]


class Again(_Part, tag=7, frozen=True):
    """The device has another digest: it wants the gallery by another tier."""

    tier: Tier


class Done(_Part, tag=8, frozen=True):
    """The device holds the gallery with this digest."""

    digest: Hash32
    count: Count


class Bye(_Part, tag=9, frozen=True):
    """The device has all it came for."""


class Welcome(_Part, tag=21, frozen=True):
    """What the device may hold, and what it has to delete."""

    starts: Annotated[list[Start], Meta(max_length=500)]
    dropped: Annotated[list[Name], Meta(max_length=500)]
    more: bool = False


class Differ(_Part, tag=22, frozen=True):
    """Ranges that differ: their prefixes (u32) at a level, and the server's sums of the 16 ranges below each."""

    level: Level
    prefixes: bytes
    sums: bytes
    more: bool = False


class Items(_Part, tag=23, frozen=True):
    """A page of the difference.

    `removed` are key hashes. `upto` is the change that the device stands at after it (-1: none). Where `cursor` is
    not empty, these are exactly the records with key hashes after the last cursor up to this one.
    """

    items: list[Item]
    removed: bytes = b""
    upto: Number = -1
    cursor: Id8 = b""


class End(_Part, tag=24, frozen=True):
    """The difference is told. `digest` is empty where the gallery kept changing meanwhile."""

    change: Number
    count: Count
    digest: Hash


class Piece(_Part, tag=25, frozen=True):
    """A stretch of a content."""

    digest: Hash32
    offset: Count
    content: bytes


class Gone(_Part, tag=26, frozen=True):
    """A content that is no longer offered: its record has changed."""

    digest: Hash32


class Noted(_Part, tag=27, frozen=True):
    """Acts up to this number are in the audit log."""

    upto: Count


class Closed(_Part, tag=28, frozen=True):
    """The gallery is done; whether the server, too, has this digest."""

    agreed: bool


class Refusal(_Part, tag=29, frozen=True):
    """Why the other end goes no further."""

    reason: Text


FromDevice = Hello | Acts | Ranges | Leaves | More | Pull | Again | Done | Bye
FromServer = Welcome | Differ | Items | End | Piece | Gone | Noted | Closed | Refusal
T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_from_device = msgspec.msgpack.Decoder(FromDevice)
_from_server = msgspec.msgpack.Decoder(FromServer)


def size(part: Struct) -> int:
    """Return the bytes that a part of a message takes, unpacked."""
    return len(_encoder.encode(part))


def encode(message: FromDevice | FromServer) -> bytes:
    """Write a message."""
    plain = _encoder.encode(message)
    if len(plain) >= MOST_MESSAGE_BYTES:
        raise ValueError(f"a {type(message).__name__} of {len(plain)} bytes is no message")
    if len(plain) < _PACK_FROM or isinstance(message, Piece):
        return b"\0" + plain
    packed = zstandard.ZstdCompressor(level=3).compress(plain)
    return b"\1" + packed if len(packed) < len(plain) else b"\0" + plain


def of_device(message: bytes) -> FromDevice:
    """Read a message of a device. Raises Refused on anything else."""
    found: FromDevice = _read(message, _from_device)
    return found


def of_server(message: bytes) -> FromServer:
    """Read a message of the server. Raises Refused on anything else."""
    found: FromServer = _read(message, _from_server)
    return found


def _read(message: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T:
    try:
        return decoder.decode(_unpacked(message))
    except (msgspec.MsgspecError, ValueError, zstandard.ZstdError) as error:
        raise Refused(f"a message of {len(message)} bytes cannot be read: {error}") from error


def _unpacked(message: bytes) -> bytes:
    if not 2 <= len(message) <= MOST_MESSAGE_BYTES or message[0] > 1:
        raise ValueError("it has no known form")
    if message[0] == 0:
        return message[1:]
    size = zstandard.frame_content_size(message[1:])
    if not 0 < size <= MOST_MESSAGE_BYTES:
        raise ValueError("it does not tell its unpacked size, or one that is too large")
    return zstandard.ZstdDecompressor(max_window_size=1 << 20).decompress(
        message[1:], max_output_size=MOST_MESSAGE_BYTES
    )
