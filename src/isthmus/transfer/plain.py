"""The plain format, for gates that let only `.bson` pass: a bare file of content and a signed sidecar.

`<name>.bson` is the member `entries.bson` as it is, which MongoDB's own tools read. `<name>.manifest.bson` is one
BSON document of three strings: header, manifest and signature, each the same text as in a bundle, signed for this
format's own purpose. A heartbeat is a sidecar alone. The sidecar is not parsed as BSON: it has one form, and what
is read is written again and compared.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from blake3 import blake3

from isthmus.core.errors import InputError
from isthmus.core.header import Header, Kind
from isthmus.state.files import replacing
from isthmus.transfer.bundle import Members, packed_stretches, regular
from isthmus.transfer.claims import (
    SIGNATURE_SIZE,
    Listed,
    check_sizes,
    path_of,
    read_header,
    read_manifest,
    verify_signature,
    write_header,
    write_manifest,
    write_signature,
)
from isthmus.transfer.limits import STANDARD, Limits
from isthmus.transfer.naming import names_of
from isthmus.transfer.opened import Opened, Stored, hash_member
from isthmus.transfer.refusal import Tampered, TooLarge, Truncated
from isthmus.transfer.signing import Allowed, SigningKey

MEMBER = "entries.bson"
PURPOSE = "isthmus plain 1"

_FIELDS = ("header", "manifest", "signature")
_STRING = b"\x02"
_AROUND = 1024  # more than the sidecar's own bytes and its signature need
_TAIL = 512


def pack_plain(
    folder: Path,
    header: Header,
    members: Members,
    key: SigningKey,
    limits: Limits = STANDARD,
    beat: int | None = None,
) -> tuple[Path, ...]:
    """Make the files of a bundle in `folder`: the bare file, then the sidecar; of a heartbeat the sidecar alone.

    The header's codec becomes "none". Raises InputError for members other than `entries.bson`, TooLarge, OSError.
    """
    header = dataclasses.replace(header, codec="none")
    first = write_header(header)
    if set(members) != (set() if header.kind is Kind.HEARTBEAT else {MEMBER}):
        raise InputError(
            f"the plain format carries {MEMBER} alone, and nothing in a heartbeat", 'use format "tar"'
        )
    files = tuple(folder / str(name) for name in names_of("plain", header, beat))
    listed = (_write_bare(files[0], members, limits),) if members else ()
    manifest = write_manifest(listed)
    check_sizes(files[-1], first, manifest, limits)
    read_manifest(files[-1], manifest, header, limits)
    with replacing(files[-1]) as out:
        out.write(_document(first, manifest, write_signature(key, PURPOSE, first, manifest)))
    return files


def open_plain(bare: Path | None, sidecar: Path, allowed: Allowed, limits: Limits = STANDARD) -> Opened:
    """Verify a sidecar and the bare file it speaks of, and open them.

    Raises Truncated (also where the bare file has not come), Tampered, TooLarge, UnknownKey, NewerFormat, OSError.
    """
    raw = _read_sidecar(sidecar, limits)
    first, manifest, signature = _fields(sidecar, raw)
    header = read_header(sidecar, first)
    signer = verify_signature(sidecar, signature, PURPOSE, (header, first), manifest, allowed)
    listed = read_manifest(sidecar, manifest, header, limits)
    expected = [] if header.kind is Kind.HEARTBEAT else [MEMBER]
    if header.codec != "none" or [one.path for one in listed] != expected:
        raise Tampered.at(sidecar, "it does not speak of what the plain format carries")
    stored = {one.path: _verified(bare, sidecar, one, limits) for one in listed}
    return Opened(header, signer, blake3(raw).digest(), stored)


def _write_bare(file: Path, members: Members, limits: Limits) -> Listed:
    whole, size = blake3(), 0
    with replacing(file) as out:
        for stretch in packed_stretches(members[MEMBER]()):
            size += len(stretch)
            if size > min(limits.most_member_bytes, limits.most_file_bytes):
                raise TooLarge.at(file, "more than one member may hold")
            whole.update(stretch)
            out.write(stretch)
    return Listed(path_of(MEMBER, "none"), size, size, whole.digest())


def _document(*texts: bytes) -> bytes:
    """Write the sidecar: a BSON document of strings, by the names of _FIELDS."""
    inner = b"".join(
        _STRING + name.encode("ascii") + b"\0" + (len(text) + 1).to_bytes(4, "little") + text + b"\0"
        for name, text in zip(_FIELDS, texts, strict=True)
    )
    return (len(inner) + 5).to_bytes(4, "little") + inner + b"\0"


def _read_sidecar(sidecar: Path, limits: Limits) -> bytes:
    """Read a sidecar that has the size it claims. Raises TooLarge, Truncated, Tampered."""
    most = limits.most_header_bytes + limits.most_manifest_bytes + _AROUND
    with regular(sidecar) as file:
        size = os.fstat(file.fileno()).st_size
        raw = file.read(most + 1)
    claimed = int.from_bytes(raw[:4], "little")
    if max(size, len(raw), claimed) > most:
        raise TooLarge.at(sidecar, f"it claims {max(size, claimed):,} bytes, {most:,} at most are allowed")
    if len(raw) < 4 or len(raw) < claimed:
        raise Truncated.at(sidecar, f"it ends after {len(raw)} bytes")
    begins = _STRING + _FIELDS[0].encode("ascii") + b"\0"
    if raw[-3] == 0 and len(raw) > SIGNATURE_SIZE and begins.startswith(raw[4 : 4 + len(begins)].rstrip(b"\0")):
        # there the signature's last byte should be; some tools give a file its size before they fill it
        raise Truncated.at(sidecar, "its end is not written yet")
    if len(raw) > claimed or claimed < 5:
        raise Tampered.at(sidecar, "it is no sidecar: its size is not the one it claims")
    return raw


def _fields(sidecar: Path, raw: bytes) -> list[bytes]:
    """Take the strings out of a sidecar, by their places alone. Raises Tampered."""
    texts, at = [], 4
    for name in _FIELDS:
        begin = at + len(name) + 6  # its type, its name and a zero, its length
        length = int.from_bytes(raw[begin - 4 : begin], "little")
        texts.append(raw[begin : begin + max(0, length - 1)])
        at = begin + length
    if _document(*texts) != raw:
        raise Tampered.at(sidecar, "it is no sidecar of a bundle")
    return texts


def _verified(bare: Path | None, sidecar: Path, one: Listed, limits: Limits) -> Stored:
    """Verify the bare file against what was signed."""
    if bare is None:
        raise Truncated.at(sidecar, "the file it speaks of has not come")
    with regular(bare) as file:
        size = os.fstat(file.fileno()).st_size
        if one.size > limits.most_file_bytes:
            raise TooLarge.at(sidecar, f"it speaks of a file of {one.size:,} bytes")
        if size < one.size:
            raise Truncated.at(bare, f"it has {size:,} bytes, {one.size - size:,} are missing")
        if size > one.size:
            raise Tampered.at(bare, f"it has {size - one.size:,} bytes more than were signed")
        digest, stretches = hash_member(file, size)
        if digest != one.blake3:
            file.seek(max(0, size - _TAIL))
            if size and not any(file.read(_TAIL)):
                raise Truncated.at(bare, "it ends in zeros that were not signed: its end is not written yet")
            raise Tampered.at(bare, "it is not what was signed")
    return Stored(bare, 0, size, size, "none", stretches)
