"""The anatomy of a PNG file (W3C PNG, third edition, section 5): chunks."""

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

START = b"\x89PNG\r\n\x1a\n"

_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_PROFILE = {b"iCCP", b"sRGB", b"gAMA", b"cHRM"}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def dissect(content: bytes, limits: ImageLimits) -> Anatomy:
    """Take a PNG file apart. Raises ImageRefused.

    Compressed texts and colour profiles are never unpacked; animations are refused.
    """
    kept, at, orientation = [START], len(START), 1
    width = height = channels = 0
    exif, profile = b"", b""
    for number in range(MOST_PARTS):
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        end = at + 12 + size
        if end > len(content):
            raise ImageRefused("the PNG file is truncated")
        if (number == 0) != (kind == b"IHDR") or (number == 0 and size != 13):
            raise ImageRefused("the PNG file is damaged: it does not begin with one header")
        if number == 0:
            width, height = (int.from_bytes(content[at + o : at + o + 4], "big") for o in (8, 12))
            if content[at + 17] not in _CHANNELS:
                raise ImageRefused(f"the PNG file is damaged: there is no colour type {content[at + 17]}")
            channels = _CHANNELS[content[at + 17]]
            limits.hold(width, height)
        if kind in _KEPT:
            kept.append(content[at:end])
        elif kind == b"acTL":
            raise BeyondLimits("the PNG file is animated", "send one picture")
        elif kind == b"eXIf":
            exif = content[at + 8 : end - 4]
            orientation = orientation_of(exif)
        elif kind in _PROFILE:
            profile += content[at:end]
        elif kind[:1].isupper():
            raise ImageRefused(f"the PNG file has a part of unknown meaning, {kind!r}")
        at = end
        if kind == b"IEND":
            only_padding(content, at)
            return Anatomy("png", width, height, channels, orientation, b"".join(kept), exif, profile)
    raise BeyondLimits(f"the PNG file has more than {MOST_PARTS} chunks")
