"""Bundles for tests: honest ones, and ones that only a dishonest or broken signer makes."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from isthmus.core.digest import Digest
from isthmus.core.header import Header, Kind
from isthmus.core.position import Position
from isthmus.transfer import claims
from isthmus.transfer.archive import END, block, padding
from isthmus.transfer.bundle import PURPOSE, Members
from isthmus.transfer.signing import SigningKey

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64))))
ALLOWED = {"persons": frozenset({KEY.public}), "things": frozenset({OTHER_KEY.public})}
MADE = datetime.datetime(2026, 11, 20, 2, 3, 4, 567890, tzinfo=datetime.UTC)
ENTRIES = bytes(range(256)) * 8


def header(kind: Kind = Kind.INCREMENT, **changes: object) -> Header:
    told = Header(
        "persons",
        kind,
        Position(3, 0) if kind is Kind.SNAPSHOT else Position(3, 12, Digest(bytes(range(32)))),
        Position(3, 17, Digest(bytes(range(1, 33)))),
        "inner",
        MADE,
        bytes(range(64, 96)),
        counts={} if kind is Kind.HEARTBEAT else {"entries": 5},
    )
    return dataclasses.replace(told, **changes)  # type: ignore[arg-type]


def members(content: bytes = ENTRIES, name: str = "entries.bson") -> Members:
    return {name: lambda: iter([content])}


def of(kind: Kind) -> Members:
    """What a bundle of this kind carries."""
    return {} if kind is Kind.HEARTBEAT else members()


def tar(entries: Iterable[tuple[str, bytes]], time_s: int = int(MADE.timestamp())) -> bytes:
    """Put entries into a tar as a bundle's are, whatever they are."""
    return b"".join(
        block(name, len(content), time_s) + content + bytes(padding(len(content))) for name, content in entries
    ) + bytes(END)


def forge(
    first: bytes,
    packed: Mapping[str, bytes] | Iterable[tuple[str, bytes]],
    manifest: bytes,
    key: SigningKey = KEY,
) -> bytes:
    """Make a bundle out of any bytes, with a signature that holds."""
    inner = list(packed.items()) if isinstance(packed, Mapping) else list(packed)
    signature = claims.write_signature(key, PURPOSE, first, manifest)
    return tar([(claims.HEADER, first), *inner, (claims.MANIFEST, manifest), (claims.SIGNATURE, signature)])


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
