"""The body of a delivery: `u32 big-endian length of the head | head (JSON) | contents one after the other`.

The head names the agent and its items in the order of their contents. An item is either content (`size`,
`digest` as BLAKE3 in 64 hexadecimal digits, `told`) or a `failure`, which has no content. Up to 16 small contents,
or one large one alone. What proves the head proves all, as it names the digest of each content; nothing but its
length is read of a head before it was proven.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from blake3 import blake3

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.image import InMemory, Told, joined
from isthmus.acquire.ports import Got, Parcel
from isthmus.core.errors import Corrupt, InputError

LENGTH = 4
INLINE_BYTES = 256 << 10
"""Content up to this size travels with others."""
MOST_ITEMS = 16
MOST_TOGETHER = 4 << 20
"""So many bytes of content travel together."""

_MOST_TOLD, _MOST_TEXT, _MOST_REASON = 8 << 10, 256, 1000
_PIECE = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Caps:
    """What a delivery may hold, in bytes. `most_large` is for content that travels alone."""

    most_head: int = 256 << 10
    most_large: int = 64 << 20

    @property
    def most_body(self) -> int:
        """The largest body there can be."""
        return LENGTH + self.most_head + max(self.most_large, MOST_TOGETHER)


STANDARD = Caps()


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the head says of one outcome. Fields that are not known here are passed over."""

    request: int
    fence: int
    trace: str
    size: int = 0
    digest: str = ""
    told: Told = Told()
    failure: Failure | None = None


class Head(msgspec.Struct, frozen=True):
    """What comes before the contents."""

    agent: str
    items: tuple[Item, ...]


class Content(msgspec.Struct, frozen=True):
    """Content that came. `where` is the bytes, or the file that holds them."""

    where: InMemory | Path
    size: int
    digest: str
    told: Told

    def read(self) -> bytes:
        """Return the content's bytes. Raises OSError."""
        return self.where.read_bytes() if isinstance(self.where, Path) else joined(self.where)


class Part(msgspec.Struct, frozen=True):
    """One outcome of a delivery that was unpacked."""

    request: int
    fence: int
    trace: str
    outcome: Content | Failure


@dataclass(frozen=True, slots=True)
class Package:
    """A delivery that was unpacked, its parts in the order in which verdicts are to be given."""

    agent: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """A body ready to be sent: `pieces`, then the content of `file` where there is one. Nothing is joined.

    `size` is that of the whole body, in bytes. `digest` is what is signed: BLAKE3 of the head and its length, in
    hexadecimal digits.
    """

    pieces: tuple[bytes, ...]
    file: Path | None
    size: int
    digest: str

    def stretches(self) -> Iterator[bytes]:
        """Yield the body in pieces; a file is read as it goes. Raises OSError."""
        yield from self.pieces
        if self.file is not None:
            with self.file.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece


_ENCODER = msgspec.json.Encoder()
_HEAD = msgspec.json.Decoder(Head)


def pack(agent: str, parcels: Sequence[Parcel], caps: Caps = STANDARD) -> Packed:
    """Pack outcomes into a body.

    Contents are not read: what each is, its outcome says. Raises InputError for more than may travel together,
    OSError where a file is not there, Corrupt where it has another size than its outcome says.
    """
    head = Head(agent, tuple(_item(parcel) for parcel in parcels))
    contents = [parcel.outcome for parcel in parcels if isinstance(parcel.outcome, Got)]
    if wrong := _too_much(head, caps):
        raise InputError(f"a delivery with {wrong}", "send less at a time")
    if any(isinstance(one.content, Path) for one in contents) and len(contents) != 1:
        raise InputError("content in a file travels alone", "send it by itself")
    encoded = _ENCODER.encode(head)
    if len(encoded) > caps.most_head:
        raise InputError(f"a head of {len(encoded):,} bytes, {caps.most_head:,} at most", "send less at a time")
    pieces, file = [len(encoded).to_bytes(LENGTH, "big") + encoded], None
    for one in contents:
        if isinstance(one.content, Path):
            file = one.content
            if (found := file.stat().st_size) != one.size:
                raise Corrupt(f"{file} has {found:,} bytes, not {one.size:,}", "fetch it again")
        else:
            pieces.append(one.content)
    size = sum(map(len, pieces)) + (contents[0].size if file is not None else 0)
    return Packed(tuple(pieces), file, size, blake3(pieces[0]).hexdigest())


def travels_alone(outcome: Got | Failure) -> bool:
    """Tell whether an outcome needs a delivery of its own."""
    return isinstance(outcome, Got) and (outcome.size > INLINE_BYTES or isinstance(outcome.content, Path))


def unpack(body: bytes, caps: Caps = STANDARD) -> Package:
    """Unpack a body that was proven as a whole. Raises Corrupt for anything that `pack` does not make.

    Content that is not what its own digest says was hurt before it was packed: a failure of kind damaged.
    """
    view = memoryview(body)
    begin = LENGTH + head_length(body[:LENGTH], caps)
    head = decoded(body[LENGTH:begin])
    check(head, len(body) - begin, caps)
    parts, at = [], begin
    for item in head.items:
        content = bytes(view[at : at + item.size])
        at += item.size
        parts.append(part_of(item, content, blake3(content).hexdigest() if item.failure is None else ""))
    return Package(head.agent, tuple(parts))


def head_length(first: bytes, caps: Caps = STANDARD) -> int:
    """Read the length of the head from the first four bytes of a body. Raises Corrupt."""
    length = int.from_bytes(first, "big")
    if len(first) != LENGTH or not 0 < length <= caps.most_head:
        raise _corrupt(f"its head has {length:,} bytes, {caps.most_head:,} at most")
    return length


def _item(parcel: Parcel) -> Item:
    task, outcome = parcel.task, parcel.outcome
    if isinstance(outcome, Failure):
        if len(outcome.reason) > _MOST_REASON:
            outcome = replace(outcome, reason=outcome.reason[: _MOST_REASON - 1] + "…")
        return Item(task.request, task.fence, task.trace, failure=outcome)
    return Item(task.request, task.fence, task.trace, outcome.size, outcome.digest, _short(outcome.told))


def _short(told: Told) -> Told:
    """Leave out what no head has room for: a storage server may say as much as it likes."""
    if not told.meta and len(told.content_type) <= _MOST_TEXT and len(told.etag) <= _MOST_TEXT:
        return told
    if len(_ENCODER.encode(told)) <= _MOST_TOLD:
        return told
    return Told(told.content_type[:_MOST_TEXT], told.modified, told.etag[:_MOST_TEXT])


def _too_much(head: Head, caps: Caps) -> str:
    """Say what of a head is beyond the caps; empty where all of it may travel."""
    sizes = [item.size for item in head.items if item.failure is None]
    if not 0 < len(head.items) <= MOST_ITEMS:
        return f"{len(head.items)} items, 1 to {MOST_ITEMS} are allowed"
    if len(sizes) > 1 and (max(sizes) > INLINE_BYTES or sum(sizes) > MOST_TOGETHER):
        return f"{sum(sizes):,} bytes in {len(sizes)} contents, the largest of {max(sizes):,}"
    if len(sizes) == 1 and sizes[0] > caps.most_large:
        return f"{sizes[0]:,} bytes of content, {caps.most_large:,} at most"
    return ""


def decoded(encoded: bytes) -> Head:
    """Decode the head of a proven body, which is still to be checked. Raises Corrupt."""
    try:
        return _HEAD.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _corrupt(f"its head cannot be read: {error}") from error


def check(head: Head, rest: int | None, caps: Caps) -> None:
    """Raise Corrupt for a head that `pack` does not make of contents of `rest` bytes, as far as that is known."""
    for item in head.items:
        if item.size < 0 or (item.failure is not None) == bool(item.digest):
            raise _corrupt(f"the item of request {item.request} is neither content nor failure")
        if item.failure is None and not _DIGEST.fullmatch(item.digest):
            raise _corrupt(f"the digest of request {item.request} is none")
        if item.failure is not None and item.size:
            raise _corrupt(f"the failure of request {item.request} has content")
    if wrong := _too_much(head, caps):
        raise _corrupt(wrong)
    if rest is not None and (claimed := sum(item.size for item in head.items)) != rest:
        raise _corrupt(f"it has {rest:,} bytes of content, its head tells of {claimed:,}")


def part_of(item: Item, where: InMemory | Path, proof: str) -> Part:
    """Return what an item says of its content, which lies at `where` and has the digest `proof`."""
    outcome: Content | Failure
    if item.failure is not None:
        outcome = item.failure
    elif proof != item.digest:
        outcome = Failure(Kind.DAMAGED, "the content is not what its digest says: it was hurt at the agent")
    else:
        outcome = Content(where, item.size, item.digest, item.told)
    return Part(item.request, item.fence, item.trace, outcome)


def _corrupt(what: str) -> Corrupt:
    return Corrupt(f"this is no delivery: {what}", "look at the agent's version")
