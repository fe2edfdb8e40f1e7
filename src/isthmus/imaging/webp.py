"""The anatomy of a WebP file (RFC 9649): RIFF chunks."""

from __future__ import annotations

from isthmus.imaging.anatomy import (
    MOST_PARTS,
    Anatomy,
    BeyondLimits,
    ImageLimits,
    ImageRefused,
    only_padding,
    orientation_of,
)

_ANIMATED, _ALPHA = 0x02, 0x10
_DAMAGED = "the WebP file is damaged"


def is_webp(content: bytes) -> bool:
    """Tell whether a file begins as WebP does."""
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def dissect(content: bytes, limits: ImageLimits) -> Anatomy:
    """Take a WebP file apart. Raises ImageRefused. Animations are refused."""
    end = 8 + int.from_bytes(content[4:8], "little")
    if end > len(content):
        raise ImageRefused("the WebP file is truncated")
    only_padding(content, end)
    chunks: dict[bytes, bytes] = {}
    at = 12
    for _ in range(MOST_PARTS):
        if at >= end:
            break
        kind, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if at + 8 + size > end:
            raise ImageRefused("the WebP file is truncated")
        if kind in (b"ANIM", b"ANMF"):
            raise BeyondLimits("the WebP file is animated", "send one picture")
        if chunks.setdefault(kind, body := content[at + 8 : at + 8 + size]) is not body and kind in _PIXELS:
            raise ImageRefused(f"{_DAMAGED}: it holds two pictures")
        at += 8 + size + (size & 1)
    return _anatomy(chunks, limits)


_PIXELS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH")


def _anatomy(chunks: dict[bytes, bytes], limits: ImageLimits) -> Anatomy:
    if (b"VP8 " in chunks) == (b"VP8L" in chunks):
        raise ImageRefused(f"{_DAMAGED}: it holds no picture, or two")
    width, height = _lossy(chunks[b"VP8 "]) if b"VP8 " in chunks else _lossless(chunks[b"VP8L"])
    limits.hold(width, height)
    extended = chunks.get(b"VP8X")
    if extended is not None:
        if len(extended) < 10 or extended[0] & _ANIMATED:
            raise BeyondLimits("the WebP file is animated") if len(extended) >= 10 else ImageRefused(_DAMAGED)
        canvas = tuple(int.from_bytes(extended[o : o + 3], "little") + 1 for o in (4, 7))
        if canvas != (width, height):
            raise ImageRefused(f"{_DAMAGED}: its two headers tell different sizes")
    kept = []
    if extended is not None and b"ALPH" in chunks and b"VP8 " in chunks:
        kept = [(b"VP8X", bytes((_ALPHA, 0, 0, 0)) + extended[4:10]), (b"ALPH", chunks[b"ALPH"])]
    kept += [(kind, chunks[kind]) for kind in (b"VP8 ", b"VP8L") if kind in chunks]
    body = b"WEBP" + b"".join(
        kind + len(part).to_bytes(4, "little") + part + b"\0" * (len(part) & 1) for kind, part in kept
    )
    exif = chunks.get(b"EXIF", b"").removeprefix(b"Exif\0\0")
    bare = b"RIFF" + len(body).to_bytes(4, "little") + body
    return Anatomy("webp", width, height, 4, orientation_of(exif), bare, exif, chunks.get(b"ICCP", b""))


def _lossy(frame: bytes) -> tuple[int, int]:
    """Read width and height of a VP8 key frame (RFC 6386, 9.1)."""
    if len(frame) < 10 or frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
        raise ImageRefused(_DAMAGED)
    return int.from_bytes(frame[6:8], "little") & 0x3FFF, int.from_bytes(frame[8:10], "little") & 0x3FFF


def _lossless(frame: bytes) -> tuple[int, int]:
    """Read width and height of a VP8L picture (RFC 9649, 3.4)."""
    if len(frame) < 5 or frame[0] != 0x2F:
        raise ImageRefused(_DAMAGED)
    packed = int.from_bytes(frame[1:5], "little")
    return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
