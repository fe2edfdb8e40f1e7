"""A verified bundle, open for reading, and how its members are verified and read.

A file can change after it was verified. So verification keeps the BLAKE3 of every stretch of 1 MiB, and reading
compares a stretch with it before the first byte is unpacked or handed on. Nothing is held open in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import zstandard
from blake3 import blake3

from isthmus.core.errors import Corrupt
from isthmus.core.header import Header
from isthmus.transfer.limits import KIB, MIB
from isthmus.transfer.refusal import Tampered
from isthmus.transfer.signing import PublicKey

STRETCH = MIB
_PIECE = 256 * KIB
_MOST_WINDOW = 8 * MIB


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a verified member lies, and what its stretches hash to. `size` is as packed, in bytes."""

    file: Path
    offset: int
    size: int
    unpacked: int
    codec: str
    stretches: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """A verified bundle: a `core.ports.Delivery`. `digest` is the BLAKE3 of the file that bears the signature.

    `received_s` is how many seconds it took to copy it from the carrier and verify it; 0 where nobody knows.
    """

    header: Header
    signer: PublicKey
    digest: bytes
    members: Mapping[str, Stored]
    received_s: float = field(default=0.0, compare=False)

    def read(self, member: str) -> Iterator[bytes]:
        """Stream one member, unpacked, in pieces of at most 1 MiB.

        Raises Corrupt where it is not there; while it streams, Tampered where the file is no longer the one that
        was verified or the member unpacks to another size than the manifest says. OSError where it cannot be read.
        """
        stored = self.members.get(member)
        if stored is None:
            raise Corrupt(f"the bundle of {self.header.stream} up to {self.header.until} has no {member!r}")
        return _plain(stored) if stored.codec == "none" else _unpacked(stored)


def hash_member(file: BinaryIO, size: int, also: blake3 | None = None) -> tuple[bytes, tuple[bytes, ...]]:
    """Read `size` bytes; return their BLAKE3 and that of each stretch of them. `also` takes them in too."""
    whole, stretches = blake3(), []
    while size > 0:
        stretch = file.read(min(STRETCH, size))
        if not stretch:  # shrunk since its size was taken: the digest will not fit
            break
        whole.update(stretch)
        if also is not None:
            also.update(stretch)
        stretches.append(blake3(stretch).digest())
        size -= len(stretch)
    return whole.digest(), tuple(stretches)


def _plain(stored: Stored) -> Iterator[bytes]:
    """Hand out the stretches of a member, each once it is proven to be the one that was verified."""
    left = stored.size
    with stored.file.open("rb") as file:
        file.seek(stored.offset)
        for digest in stored.stretches:
            stretch = file.read(min(STRETCH, left))
            if blake3(stretch).digest() != digest:
                raise Tampered.at(stored.file, "it changed after it was verified")
            left -= len(stretch)
            yield stretch


class _Feed:
    """What zstandard reads packed bytes from: verified stretches."""

    def __init__(self, stretches: Iterator[bytes]) -> None:
        self._stretches = stretches

    def read(self, size: int = -1) -> bytes:
        """Return the next stretch, whatever size is asked for; nothing at the end."""
        return next(self._stretches, b"")


def _unpacked(stored: Stored) -> Iterator[bytes]:
    """Unpack a member, never more than it claims, in bounded memory."""
    stretches, left = _plain(stored), stored.unpacked
    unpacker = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW)
    feed = unpacker.stream_reader(_Feed(stretches), STRETCH, read_across_frames=True)  # type: ignore[arg-type]
    try:
        while piece := feed.read(_PIECE):
            left -= len(piece)
            if left < 0:
                raise Tampered.at(
                    stored.file, f"a member unpacks to more than the {stored.unpacked:,} bytes signed"
                )
            yield piece
        if left or next(stretches, None) is not None:
            raise Tampered.at(stored.file, f"a member unpacks to other than the {stored.unpacked:,} bytes signed")
    except zstandard.ZstdError as error:
        raise Tampered.at(stored.file, f"a member cannot be unpacked: {error}") from error
    finally:
        stretches.close()  # type: ignore[attr-defined]
