"""The body of a delivery: `u32 big-endian length of the head | head (JSON) | contents one after the other`.

The head names the agent and its items in the order of their contents. An item is either content (`size`,
`digest` as BLAKE3 in 64 hexadecimal digits, `told`) or a `failure`, which has no content. Up to 16 small contents,
or one large one alone. Nothing but the head's length is read of a body before the whole of it was proven.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.image import Told
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
_LONG = 64 << 10
"""Longer pieces are hashed as fast one by one as joined."""
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
    """Content that came. `where` is the bytes, or the file that holds them from `offset` on."""

    where: bytes | memoryview | Path
    size: int
    digest: str
    told: Told
    offset: int = 0

    def read(self) -> bytes:
        """Return the content's bytes. Raises OSError."""
        if not isinstance(self.where, Path):
            return bytes(self.where)
        with self.where.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Part(msgspec.Struct, frozen=True):
    """One outcome of a delivery that was unpacked. Content that is not what its own digest says has become a

    failure of kind damaged: it was hurt before it was packed.
    """

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

    `size` in bytes and `digest`, BLAKE3 in hexadecimal digits, are those of the whole body.
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

    Raises InputError for more than may travel together, OSError where a file cannot be read, Corrupt where it has
    another size than its outcome says.
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
    whole = blake3()
    if len(contents) > 1 and sum(map(len, pieces)) < _LONG * len(contents):
        whole.update(b"".join(pieces))  # short ones: at one go it takes half the time, and is not kept
    else:
        for piece in pieces:
            whole.update(piece)
    if file is not None:
        whole.update_mmap(file)
    size = sum(map(len, pieces)) + (contents[0].size if file is not None else 0)
    return Packed(tuple(pieces), file, size, whole.hexdigest())


def travels_alone(outcome: Got | Failure) -> bool:
    """Tell whether an outcome needs a delivery of its own."""
    return isinstance(outcome, Got) and (outcome.size > INLINE_BYTES or isinstance(outcome.content, Path))


def unpack(body: bytes | bytearray | memoryview, caps: Caps = STANDARD, *, copied: bool = True) -> Package:
    """Unpack a body that was proven. Raises Corrupt for anything that `pack` does not make.

    Contents are copies, or, where `copied` is false, views of the body, which then must not change.
    """
    view = memoryview(body)
    begin = LENGTH + head_length(bytes(view[:LENGTH]), caps)
    return unpack_contents(decoded(bytes(view[LENGTH:begin])), view, begin, caps, copied=copied)


def unpack_contents(head: Head, view: memoryview, begin: int, caps: Caps, *, copied: bool) -> Package:
    """Unpack a proven body whose head was decoded and whose contents begin at a place, as `unpack` does."""
    _check(head, len(view) - begin, caps)
    parts, at = [], begin
    for item in head.items:
        content = bytes(view[at : at + item.size]) if copied else view[at : at + item.size]
        at += item.size
        proof = blake3(content).hexdigest() if item.failure is None else ""
        parts.append(_part(item, content, proof))
    return Package(head.agent, tuple(parts))


def unpack_file(body: Path, caps: Caps = STANDARD) -> Package:
    """Unpack a body that was proven and lies in a file. Contents stay where they are.

    Raises Corrupt for anything that `pack` does not make, OSError.
    """
    with body.open("rb") as file:
        length = head_length(file.read(LENGTH), caps)
        encoded = file.read(length)
        begin = LENGTH + len(encoded)
        head = decoded(encoded)
        _check(head, body.stat().st_size - begin, caps)
        parts, at = [], begin
        for item in head.items:
            proof = _hash_stretch(file, item.size) if item.failure is None else ""
            parts.append(_part(item, body, proof, at))
            at += item.size
    return Package(head.agent, tuple(parts))


def head_length(first: bytes, caps: Caps = STANDARD) -> int:
    """Read the length of the head from the first four bytes of a body. Raises Corrupt."""
    length = int.from_bytes(first, "big")
    if len(first) != LENGTH or not 0 < length <= caps.most_head:
        raise _corrupt(f"its head has {length:,} bytes, {caps.most_head:,} at most")
    return length


def holds_large(head: Head) -> bool:
    """Tell whether the head of a proven body speaks of a content that is not small."""
    return any(item.size > INLINE_BYTES for item in head.items)


def read_parts(encoded: bytes, content: Path, size: int, proof: str, caps: Caps = STANDARD) -> Package:
    """Read the head of a proven body with one content, whose bytes lie by themselves in the file `content`.

    `size` and `proof`, BLAKE3 in hexadecimal digits, are those of the file. Raises Corrupt.
    """
    head = decoded(encoded)
    _check(head, size, caps)
    parts, at = [], 0
    for item in head.items:
        mine = proof if item.size == size else ""
        parts.append(_part(item, content, mine, at))
        at += item.size
    if sum(item.failure is None for item in head.items) > 1:
        raise _corrupt("several contents in a file")
    return Package(head.agent, tuple(parts))


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


def _check(head: Head, rest: int, caps: Caps) -> None:
    """Raise Corrupt for a head that `pack` does not make of contents of `rest` bytes."""
    for item in head.items:
        if item.size < 0 or (item.failure is not None) == bool(item.digest):
            raise _corrupt(f"the item of request {item.request} is neither content nor failure")
        if item.failure is None and not _DIGEST.fullmatch(item.digest):
            raise _corrupt(f"the digest of request {item.request} is none")
        if item.failure is not None and item.size:
            raise _corrupt(f"the failure of request {item.request} has content")
    if wrong := _too_much(head, caps):
        raise _corrupt(wrong)
    if (claimed := sum(item.size for item in head.items)) != rest:
        raise _corrupt(f"it has {rest:,} bytes of content, its head tells of {claimed:,}")


def _part(item: Item, where: bytes | memoryview | Path, proof: str, offset: int = 0) -> Part:
    outcome: Content | Failure
    if item.failure is not None:
        outcome = item.failure
    elif proof != item.digest:
        outcome = Failure(Kind.DAMAGED, "the content is not what its digest says: it was hurt at the agent")
    else:
        outcome = Content(where, item.size, item.digest, item.told, offset)
    return Part(item.request, item.fence, item.trace, outcome)


def _hash_stretch(file: Any, size: int) -> str:
    whole = blake3()
    while size and (piece := file.read(min(_PIECE, size))):
        whole.update(piece)
        size -= len(piece)
    return whole.hexdigest()


def _corrupt(what: str) -> Corrupt:
    return Corrupt(f"this is no delivery: {what}", "look at the agent's version")
