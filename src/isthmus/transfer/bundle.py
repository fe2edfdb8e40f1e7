"""A bundle: one uncompressed tar with a signed header and manifest, packed and opened member by member.

`header.json`, the members (each zstd-compressed on its own, `<member>.zst`), `manifest.json`, `signature`. The
same header, members and key give the same bytes. A bundle is opened in this order, and each step trusts only what
the ones before it have proven:

1. the structure of the file, without any content;
2. the header, which names the stream, and the signature over header and manifest by a key allowed for that stream;
3. the manifest, against the structure and the limits;
4. the BLAKE3 of every member.

Only then is there an `Opened`, and only from it can content be read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard
from blake3 import blake3

from isthmus.core.errors import InputError
from isthmus.core.header import Header, Kind
from isthmus.state.files import replacing
from isthmus.transfer.archive import BLOCK, END, Piece, block, lay_out, padding
from isthmus.transfer.claims import (
    HEADER,
    MANIFEST,
    SIGNATURE,
    Listed,
    check_sizes,
    member_of,
    path_of,
    read_header,
    read_manifest,
    seconds,
    verify_signature,
    write_header,
    write_manifest,
    write_signature,
)
from isthmus.transfer.limits import STANDARD, Limits
from isthmus.transfer.opened import STRETCH, Opened, Stored, hash_member
from isthmus.transfer.refusal import Tampered, TooLarge, Truncated
from isthmus.transfer.signing import Allowed, PublicKey, SigningKey

PURPOSE = "isthmus bundle 1"
LEVEL = 3
"""How hard zstd tries where nothing else is said."""

Members = Mapping[str, Callable[[], Iterator[bytes]]]
"""The content of each member, made anew each time it is asked for."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A bundle that was made: its file, size in bytes and BLAKE3."""

    file: Path
    size: int
    digest: bytes


def pack(
    into: Path,
    header: Header,
    members: Members,
    key: SigningKey,
    limits: Limits = STANDARD,
    level: int = LEVEL,
) -> Packed:
    """Make the bundle `into`, whole or not at all; a file that is there is replaced.

    Members are streamed and packed as `header.codec` says, zstd with `level`. Raises InputError for a header or
    member's name that cannot travel, TooLarge for what a receiver with the same limits would refuse, OSError.
    """
    first = write_header(header)
    paths = sorted((path_of(member, header.codec), make) for member, make in members.items())
    if header.kind is Kind.HEARTBEAT and paths:
        raise InputError(f"a heartbeat of {header.stream} carries nothing", "make an increment of it")
    time_s = seconds(header)
    with replacing(into) as out:
        _put(out, HEADER, first, time_s)
        listed = tuple(
            _pack_member(out, path, make(), header.codec, time_s, limits, level) for path, make in paths
        )
        manifest = write_manifest(listed)
        _put(out, MANIFEST, manifest, time_s)
        _put(out, SIGNATURE, write_signature(key, PURPOSE, first, manifest), time_s)
        out.write(bytes(END))
        size = out.tell()
        if size > limits.most_file_bytes:
            raise TooLarge.at(into, f"the bundle would have {size:,} bytes, {limits.most_file_bytes:,} at most")
        check_sizes(into, first, manifest, limits)
        read_manifest(into, manifest, header, limits)
    with into.open("rb") as file:
        return Packed(into, size, hash_member(file, size)[0])


def open_bundle(file: Path, allowed: Allowed, limits: Limits = STANDARD) -> Opened:
    """Verify a bundle, all of it, and open it.

    Raises Truncated, Tampered, TooLarge, UnknownKey, NewerFormat, and OSError where the file cannot be read.
    """
    with regular(file) as opened:
        pieces, time_s = lay_out(opened, file, limits)
        header, manifest, signer = _claims(opened, file, pieces, allowed)
        if seconds(header) != time_s:
            raise Tampered.at(file, "its entries are marked with another time than its header tells")
        listed = read_manifest(file, manifest, header, limits)
        inner = pieces[1:-2]
        if [(one.path, one.size) for one in listed] != [(piece.name, piece.size) for piece in inner]:
            raise Tampered.at(file, "it does not hold what its manifest says")
        stored, digest = _verified(opened, file, listed, pieces, header.codec)
        return Opened(header, signer, digest, stored)


def regular(file: Path) -> BinaryIO:
    """Open a file for reading; never waits at a pipe. Raises Tampered for what is no file, OSError."""
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Tampered.at(file, "it is no file")
    return os.fdopen(handle, "rb")


def packed_stretches(content: Iterator[bytes]) -> Iterator[bytes]:
    """Cut content anew into stretches of one size: how it arrived must not show in what is packed."""
    held = bytearray()
    for piece in content:
        held += piece
        while len(held) >= STRETCH:
            yield bytes(held[:STRETCH])
            del held[:STRETCH]
    if held:
        yield bytes(held)


def _claims(
    opened: BinaryIO, file: Path, pieces: tuple[Piece, ...], allowed: Allowed
) -> tuple[Header, bytes, PublicKey]:
    """Read and verify what the bundle claims; the manifest stays bytes."""
    first, manifest, signature = (_content(opened, pieces[at]) for at in (0, -2, -1))
    if signature.endswith(b"\0"):
        raise Truncated.at(file, "its signature is not written to its end yet")
    header = read_header(file, first)
    return header, manifest, verify_signature(file, signature, PURPOSE, (header, first), manifest, allowed)


def _verified(
    opened: BinaryIO, file: Path, listed: tuple[Listed, ...], pieces: tuple[Piece, ...], codec: str
) -> tuple[dict[str, Stored], bytes]:
    """Compare every member with its BLAKE3; return where they lie, and the BLAKE3 of the whole file."""
    stored, whole = {}, blake3()
    opened.seek(0)
    for one, piece in zip(listed, pieces[1:-2], strict=True):
        whole.update(opened.read(piece.offset - opened.tell()))
        digest, stretches = hash_member(opened, piece.size, whole)
        if digest != one.blake3:
            raise Tampered.at(file, f"{one.path} is not what was signed")
        member = member_of(one.path, codec) or ""
        stored[member] = Stored(file, piece.offset, one.size, one.unpacked, codec, stretches)
    whole.update(opened.read(pieces[-1].offset + BLOCK + END - opened.tell()))
    return stored, whole.digest()


def _content(opened: BinaryIO, piece: Piece) -> bytes:
    opened.seek(piece.offset)
    return opened.read(piece.size)


def _put(out: BinaryIO, name: str, content: bytes, time_s: int) -> None:
    out.write(block(name, len(content), time_s) + content + bytes(padding(len(content))))


def _pack_member(
    out: BinaryIO, path: str, content: Iterator[bytes], codec: str, time_s: int, limits: Limits, level: int
) -> Listed:
    """Write one member behind a block that is filled in once its size is known."""
    begin, unpacked, whole = out.tell(), 0, blake3()
    out.write(bytes(BLOCK))
    packer = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj() if codec == "zstd" else None

    def write(packed: bytes) -> None:
        whole.update(packed)
        out.write(packed)

    for stretch in packed_stretches(content):
        unpacked += len(stretch)
        if unpacked > limits.most_member_bytes:
            raise TooLarge.at(path, f"more than the {limits.most_member_bytes:,} bytes that a member may hold")
        write(packer.compress(stretch) if packer else stretch)
    if packer:
        write(packer.flush())
    end = out.tell()
    size = end - begin - BLOCK
    out.write(bytes(padding(size)))
    out.seek(begin)
    out.write(block(path, size, time_s))
    out.seek(end + padding(size))
    return Listed(path, size, unpacked, whole.digest())
