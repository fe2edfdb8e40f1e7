"""The inventory of a site: which contents it holds, by BLAKE3 and size, signed. Written and read as a stream.

A line of JSON (`Inventory`), a zstd frame of entries of 40 bytes (digest, then size as u64, little-endian) sorted
by digest, and the two lines of `proof` over the first line and the BLAKE3 of the frame. Nothing is unpacked before
the signature is verified.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import zstandard
from blake3 import blake3

from isthmus.recovery.barrier import DIGEST_BYTES
from isthmus.recovery.proof import PROOF_BYTES, proof, signer
from isthmus.state.files import replacing
from isthmus.transfer.refusal import NewerFormat, Tampered, TooLarge
from isthmus.transfer.signing import PublicKey, SigningKey

FORMAT = 1
PURPOSE = "isthmus recovery inventory 1"
ENTRY_BYTES = DIGEST_BYTES + 8
MOST_CONTENTS = 8_000_000
MOST_BYTES = 512 << 20
"""Of the whole file: entries hardly get smaller by packing."""

_MOST_LINE = 4096
_PIECE = ENTRY_BYTES << 13
_MOST_WINDOW = 8 << 20


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an inventory says of itself: whose it is, its number, when it was made, how many contents it lists."""

    stream: str
    site: str
    number: int
    made: datetime
    contents: int

    def to_bytes(self) -> bytes:
        """Write it as a line of JSON."""
        value = {
            "format": FORMAT,
            "stream": self.stream,
            "site": self.site,
            "number": self.number,
            "made": self.made.astimezone(UTC).isoformat(),
            "contents": self.contents,
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"

    @classmethod
    def of_bytes(cls, where: object, line: bytes) -> Inventory:
        """Read the line of an inventory whose signature was verified. Raises Tampered, NewerFormat, TooLarge."""
        try:
            value = json.loads(line)
            if value["format"] != FORMAT:
                raise NewerFormat.at(where, f"made in format {value['format']!r}, this release reads {FORMAT}")
            found = cls(
                str(value["stream"]),
                str(value["site"]),
                int(value["number"]),
                datetime.fromisoformat(value["made"]),
                int(value["contents"]),
            )
            again = found.to_bytes()
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError, OverflowError) as error:
            raise Tampered.at(where, "its first line is none of an inventory") from error
        if again != line or found.number < 0 or found.contents < 0:
            raise Tampered.at(where, "its first line is not in its one form")
        if found.contents > MOST_CONTENTS:
            raise TooLarge.at(where, f"it lists {found.contents:,} contents, {MOST_CONTENTS:,} at most are read")
        return found


def write(into: Path, told: Inventory, contents: Mapping[bytes, int], key: SigningKey) -> None:
    """Write an inventory, whole or not at all. Raises TooLarge, OSError."""
    if len(contents) > MOST_CONTENTS:
        raise TooLarge.at(into, f"{len(contents):,} contents, {MOST_CONTENTS:,} at most can be listed")
    line, whole = told.to_bytes(), blake3()
    with replacing(into) as out:
        out.write(line)
        packer = zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj()
        for piece in _entries(contents):
            _put(out, packer.compress(piece), whole)
        _put(out, packer.flush(), whole)
        out.write(proof(key, PURPOSE, line, whole.digest()))


def read(
    file: Path, allowed: Collection[PublicKey]
) -> tuple[Inventory, Callable[[], Iterator[tuple[bytes, int]]]]:
    """Verify an inventory; return what it says of itself, and what streams its contents as BLAKE3 and size.

    Raises Tampered, UnknownKey, NewerFormat, TooLarge, OSError. The stream raises Tampered where the contents are
    not as many as is said, or not sorted.
    """
    with file.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size > MOST_BYTES:
            raise TooLarge.at(file, f"{size:,} bytes, {MOST_BYTES:,} at most are read")
        line = opened.readline(_MOST_LINE)
        packed = size - len(line) - PROOF_BYTES
        if packed < 0 or not line.endswith(b"\n"):
            raise Tampered.at(file, "it is no inventory")
        whole = blake3()
        for piece in _stretch(opened, packed):
            whole.update(piece)
        signer(file, opened.read(PROOF_BYTES + 1), allowed, PURPOSE, line, whole.digest())
    told = Inventory.of_bytes(file, line)
    return told, lambda: _contents(file, len(line), packed, told.contents)


def _entries(contents: Mapping[bytes, int]) -> Iterator[bytes]:
    held = bytearray()
    for digest in sorted(contents):
        held += digest + contents[digest].to_bytes(8, "little")
        if len(held) >= _PIECE:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def _put(out: BinaryIO, packed: bytes, whole: blake3) -> None:
    whole.update(packed)
    out.write(packed)


def _stretch(opened: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (piece := opened.read(min(1 << 20, length))):
        length -= len(piece)
        yield piece


class _Frame:
    """What zstandard reads packed bytes from: a stretch of a file."""

    def __init__(self, opened: BinaryIO, length: int) -> None:
        self._pieces = _stretch(opened, length)

    def read(self, size: int = -1) -> bytes:
        """Return the next piece, whatever size is asked for; nothing at the end."""
        return next(self._pieces, b"")


def _contents(file: Path, begin: int, packed: int, contents: int) -> Iterator[tuple[bytes, int]]:
    """Unpack verified entries, never more than there should be, in bounded memory."""
    left, last = contents * ENTRY_BYTES, b""
    with file.open("rb") as opened:
        opened.seek(begin)
        unpacker = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW)
        feed = unpacker.stream_reader(_Frame(opened, packed), read_across_frames=True)  # type: ignore[arg-type]
        try:
            while entries := feed.read(_PIECE):
                left -= len(entries)
                if left < 0:
                    break
                for at in range(0, len(entries) - ENTRY_BYTES + 1, ENTRY_BYTES):
                    digest = entries[at : at + DIGEST_BYTES]
                    if digest <= last:
                        raise Tampered.at(file, "its contents are not sorted, or one is there twice")
                    last = digest
                    yield digest, int.from_bytes(entries[at + DIGEST_BYTES : at + ENTRY_BYTES], "little")
        except zstandard.ZstdError as error:
            raise Tampered.at(file, f"its contents cannot be unpacked: {error}") from error
        if left:
            raise Tampered.at(file, f"it does not list the {contents:,} contents that it says")
