"""The tar of a bundle: POSIX ustar blocks of 512 bytes, in one form only.

Every field of a block but name, size and time is fixed, so a block that is read is made again and compared: links,
devices, owners, modes, extended headers and sparse files have no place to stand. Sizes from 8 GiB on are written
in base 256, as GNU tar, BSD tar and Python write and read them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import BinaryIO

from isthmus.transfer.claims import HEADER, MANIFEST, MEMBER, RESERVED, SIGNATURE, SIGNATURE_SIZE
from isthmus.transfer.limits import MIB, Limits
from isthmus.transfer.refusal import Tampered, TooLarge, Truncated

BLOCK = 512
END = 2 * BLOCK
"""Zeros that end an archive."""

_OCTAL = re.compile(rb"[0-7]{11}\0")
_OCTAL_END = 8**11
_SUM_END = 156  # where the sum of a block ends


@dataclass(frozen=True, slots=True)
class Piece:
    """Where the content of one entry lies in the file."""

    name: str
    offset: int
    size: int


def padding(size: int) -> int:
    """Return how many zeros follow `size` bytes of content up to the next block."""
    return -size % BLOCK


def block(name: str, size: int, time_s: int) -> bytes:
    """Make the block that stands before an entry: a plain file, mode 0644, owned by user and group 0."""
    length = b"%011o\0" % size if size < _OCTAL_END else b"\x80" + size.to_bytes(11, "big")
    before = b"".join(
        (name.encode("ascii").ljust(100, b"\0"), b"0000644\0", b"0000000\0" * 2, length, b"%011o\0" % time_s)
    )
    after = (b"0" + bytes(100) + b"ustar\x0000").ljust(BLOCK - len(before) - 8, b"\0")
    total = sum(before) + 8 * ord(" ") + sum(after)  # the sum counts its own field as spaces
    return before + b"%06o\0 " % total + after


def lay_out(file: BinaryIO, where: object, limits: Limits) -> tuple[tuple[Piece, ...], int]:
    """Find the entries of a bundle without reading their content; return them and the time they are marked with.

    They are, in this order: header.json, members sorted by path, manifest.json, signature, the end. Raises
    Truncated where the file ends before that, TooLarge, and Tampered for whatever else is not exactly so.
    """
    total = os.fstat(file.fileno()).st_size
    if total > limits.most_file_bytes:
        raise TooLarge.at(where, f"{total:,} bytes, {limits.most_file_bytes:,} at most are allowed")
    pieces: list[Piece] = []
    time_s, at = -1, 0
    while not pieces or pieces[-1].name != SIGNATURE:
        file.seek(at)
        raw = file.read(BLOCK)
        if not pieces and not HEADER.encode().startswith(raw[:100].rstrip(b"\0")):
            raise Tampered.at(where, "no bundle: it does not begin with its header")
        if len(raw) < BLOCK:
            raise Truncated.at(where, f"it ends after {total:,} bytes, inside the bundle")
        name, size, stamp = _read_block(where, file, raw)
        if stamp != time_s and pieces:
            raise Tampered.at(where, f"{name} is marked with another time")
        time_s = stamp
        _check_place(where, name, size, pieces, limits)
        pieces.append(Piece(name, at + BLOCK, size))
        at += BLOCK + size + padding(size)
        if at > total:
            raise Truncated.at(where, f"it ends after {total:,} bytes, inside {name}")
        file.seek(at - padding(size))
        if any(file.read(padding(size))):
            raise Tampered.at(where, f"something hides behind {name}")
    if total > at + END:
        raise Tampered.at(where, "something follows the end of the bundle")
    file.seek(at)
    if any(file.read(END)):
        raise Tampered.at(where, "something follows the signature")
    if total < at + END:
        raise Truncated.at(where, f"it ends after {total:,} bytes, {at + END - total} before its end")
    return tuple(pieces), time_s


def _read_block(where: object, file: BinaryIO, raw: bytes) -> tuple[str, int, int]:
    """Read name, size and time of a block, and prove that it says nothing else. Raises Tampered, Truncated."""
    name, length, stamp = raw[:100].rstrip(b"\0"), raw[124:136], raw[136:148]
    large = length[0] == 0x80
    made = b""
    if name.isascii() and _OCTAL.fullmatch(stamp) and (large or _OCTAL.fullmatch(length)):
        size = int.from_bytes(length[1:], "big") if large else int(length[:11], 8)
        text, time_s = name.decode("ascii"), int(stamp[:11], 8)
        made = block(text, size, time_s)
        if made == raw:
            return text, size, time_s
    written = raw.rstrip(b"\0")
    if (made.startswith(written) or len(written) < _SUM_END) and _only_zeros(file):
        raise Truncated.at(where, "it ends in zeros: its end is not written yet")
    raise Tampered.at(where, "an entry begins as none of a bundle does")


def _only_zeros(file: BinaryIO) -> bool:
    """Tell whether the file goes on with zeros, or with nothing, and ends in zeros.

    Some copying tools give a file its full size first and then fill it from the start. The middle is not read: a
    file of zeros costs nothing to make, and should cost nothing to refuse.
    """
    at = file.tell()
    next_one = file.read(MIB)
    file.seek(max(at, file.seek(0, os.SEEK_END) - MIB))
    return not any(stretch.strip(b"\0") for stretch in (next_one, file.read(MIB)))


def _check_place(where: object, name: str, size: int, before: list[Piece], limits: Limits) -> None:
    """Raise where an entry may not follow the ones before it, or may not be so large."""
    last = before[-1].name if before else ""
    caps = {HEADER: limits.most_header_bytes, MANIFEST: limits.most_manifest_bytes, SIGNATURE: SIGNATURE_SIZE}
    if name == SIGNATURE:
        fits = last == MANIFEST and size == SIGNATURE_SIZE
    elif name == HEADER or not before or last == MANIFEST:
        fits = name == HEADER and not before
    else:
        fits = name == MANIFEST or (
            MEMBER.fullmatch(name.removesuffix(".zst")) is not None and name not in RESERVED
        )
        fits = fits and (last == HEADER or name == MANIFEST or last < name)
    if not fits:
        raise Tampered.at(where, f"no bundle has an entry {name[:100]!r} of {size:,} bytes there")
    if size > caps.get(name, limits.most_file_bytes):
        raise TooLarge.at(where, f"{name} claims {size:,} bytes")
    if name not in RESERVED and len(before) > limits.most_members:
        raise TooLarge.at(where, f"more than {limits.most_members} members")
