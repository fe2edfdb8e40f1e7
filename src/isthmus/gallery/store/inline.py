"""Images as texts: what of a document's image field is an image, and how entries are kept without them.

The image field of a document is a BSON string of strict base64 (RFC 4648, section 4: no line breaks, padded,
unused bits zero), bare or as a data URL (RFC 2397: `data:<type>;base64,<base64>`). Any other text is left as it
is: an ordinary field of the document, and no image.

A stream keeps its entries without the images: each base64 text of an image field, at whatever depth of the entry,
is cut out byte for byte, and put back when the entry is read. The lengths that BSON writes around it stay as they
were, so that an entry with its images cut out is no BSON, and with them put back is the very bytes that came.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from isthmus.core.errors import Corrupt
from isthmus.gallery.record import IMAGE_FIELD

LEAST_CUT = 64
"""Texts shorter than this stay inside their entries: they are no images anybody could see something in."""

FIELD = b"\x02" + IMAGE_FIELD.encode() + b"\x00"
_DATA_URL = re.compile(rb"data:[\w.+-]*(?:/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]*){0,4};base64,")
_SPAN = struct.Struct("<IIB")

try:
    import pybase64
except ImportError:  # many times faster, and nothing else
    pybase64 = None


def encoded(content: bytes) -> bytes:
    """Write bytes as base64."""
    return pybase64.b64encode(content) if pybase64 else base64.b64encode(content)


def decoded(text: bytes) -> bytes | None:
    """Read strict base64; None where it is not."""
    if not text or len(text) % 4:
        return None
    try:
        content: bytes = (
            pybase64.b64decode(text, validate=True) if pybase64 else binascii.a2b_base64(text, strict_mode=True)
        )
    except (binascii.Error, ValueError):
        return None
    tail = len(content) % 3 or 3
    return content if text.endswith(base64.b64encode(content[-tail:])) else None


def bare(text: bytes) -> bytes:
    """Return the base64 of an image field without what a data URL says before it."""
    prefix = _DATA_URL.match(text)
    return text[prefix.end() :] if prefix else text


def image_of(text: str) -> bytes | None:
    """Return the bytes of the image that a field's text is; None where it is none."""
    if not text.isascii():
        return None
    return decoded(bare(text.encode("ascii")))


def fields(entry: bytes) -> list[tuple[int, int]]:
    """Find texts of image fields in a BSON document: where each begins and ends, in bytes.

    Only bytes are compared, so that the inside of a binary value may be taken for a field: whoever uses a span
    looks at what is in it.
    """
    found = []
    at = entry.find(FIELD)
    while at >= 0:
        start = at + len(FIELD) + 4
        end = start + int.from_bytes(entry[start - 4 : start], "little", signed=True) - 1
        if start <= end < len(entry) and entry[end] == 0:
            found.append((start, end))
            at = entry.find(FIELD, end)
        else:
            at = entry.find(FIELD, at + 1)
    return found


def texts(document: Any) -> list[str]:
    """Find the texts of image fields in a document, at whatever depth, that are long enough to be images."""
    found = []
    reached = [document]
    for outer in reached:
        if isinstance(outer, dict):
            text = outer.get(IMAGE_FIELD)
            if isinstance(text, str) and len(text) >= LEAST_CUT:
                found.append(text)
            outer = outer.values()
        reached += [inner for inner in outer if isinstance(inner, (dict, list))]
    return found


@dataclass(frozen=True, slots=True)
class Stub:
    """An entry without its images. `cuts`: offset in the whole entry, length of the text, BLAKE3 of the image."""

    body: bytes
    cuts: tuple[tuple[int, int, bytes], ...]

    @property
    def size(self) -> int:
        """The size of the whole entry, in bytes."""
        return len(self.body) + sum(length for _, length, _ in self.cuts)

    def pack(self) -> bytes:
        """Write the cuts: for each, offset and length (u32, little-endian), size (u8) and bytes of the digest."""
        return b"".join(_SPAN.pack(offset, length, len(digest)) + digest for offset, length, digest in self.cuts)

    @classmethod
    def unpack(cls, body: bytes, packed: bytes) -> Stub:
        """Read what `pack` writes."""
        cuts, at = [], 0
        while at < len(packed):
            offset, length, size = _SPAN.unpack_from(packed, at)
            at += _SPAN.size + size
            cuts.append((offset, length, packed[at - size : at]))
        return cls(body, tuple(cuts))

    def whole(self, content: Callable[[bytes], bytes]) -> bytes:
        """Put the images back, each read by its digest. Raises Corrupt where one has another size than it had."""
        pieces, taken, at = [], 0, 0
        for offset, length, digest in self.cuts:
            text = encoded(content(digest))
            if len(text) != length:
                raise Corrupt(
                    f"the image {digest.hex()[:16]} is not the one that the entry had", "send a snapshot"
                )
            pieces += [self.body[taken : taken + offset - at], text]
            taken += offset - at
            at = offset + length
        return b"".join((*pieces, self.body[taken:]))


def cut(entry: bytes, spans: Iterable[tuple[int, int, bytes]]) -> Stub:
    """Cut base64 texts, given as (start, end, digest of the image) in order, out of an entry."""
    pieces, cuts, at = [], [], 0
    for start, end, digest in spans:
        pieces.append(entry[at:start])
        cuts.append((start, end - start, digest))
        at = end
    return Stub(b"".join((*pieces, entry[at:])), tuple(cuts))
