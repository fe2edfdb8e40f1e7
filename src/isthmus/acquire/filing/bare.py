"""A picture without its metadata: what makes pixels and colours, and how to hold it, and nothing else.

Made of the parts that `imaging` found, without coding the picture anew. A picture that is not upright as stored
gets an EXIF block of one entry, its orientation.
"""

from __future__ import annotations

import struct
import zlib

from isthmus.imaging.anatomy import Anatomy

MOST_PROFILE = 1 << 20
"""A larger colour profile is left out."""


def bare(anatomy: Anatomy) -> bytes:
    """Return the file again, without metadata."""
    exif = _orientation(anatomy.orientation) if anatomy.orientation != 1 else b""
    profile = anatomy.profile if len(anatomy.profile) <= MOST_PROFILE else b""
    if not exif and not profile:
        return anatomy.bare
    if anatomy.format == "jpeg":
        return _jpeg(anatomy.bare, exif, profile)
    if anatomy.format == "png":
        return _png(anatomy.bare, exif, profile)
    return _webp(anatomy, exif, profile)


def _orientation(value: int) -> bytes:
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, value, 0, 0)


def _jpeg(content: bytes, exif: bytes, profile: bytes) -> bytes:
    """Put the segments behind the start, and behind JFIF's, which wants to be first."""
    at = 2
    if content[2:4] == b"\xff\xe0":
        at += 2 + int.from_bytes(content[4:6], "big")
    body = b"Exif\0\0" + exif
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body if exif else b""
    return content[:at] + segment + profile + content[at:]


def _png(content: bytes, exif: bytes, profile: bytes) -> bytes:
    """Put the chunks behind the header, before palette and pixels."""
    chunk = b""
    if exif:
        chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    return content[:33] + profile + chunk + content[33:]


def _webp(anatomy: Anatomy, exif: bytes, profile: bytes) -> bytes:
    """Make the extended form (RFC 9649, 2.7), which alone can hold more than the picture."""
    chunks = [(kind, body) for kind, body in _chunks(anatomy.bare) if kind != b"VP8X"]
    lossless = next((body for kind, body in chunks if kind == b"VP8L"), b"")
    alpha = any(kind == b"ALPH" for kind, _ in chunks) or bool(lossless[4:5] and lossless[4] & 0x10)
    flags = 0x20 * bool(profile) | 0x10 * alpha | 0x08 * bool(exif)
    canvas = (anatomy.width - 1).to_bytes(3, "little") + (anatomy.height - 1).to_bytes(3, "little")
    parts = [(b"VP8X", bytes((flags, 0, 0, 0)) + canvas)]
    parts += [(b"ICCP", profile)] if profile else []
    parts += chunks
    parts += [(b"EXIF", exif)] if exif else []
    body = b"WEBP" + b"".join(
        kind + len(part).to_bytes(4, "little") + part + b"\0" * (len(part) & 1) for kind, part in parts
    )
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        found.append((content[at : at + 4], content[at + 8 : at + 8 + size]))
        at += 8 + size + (size & 1)
    return found
