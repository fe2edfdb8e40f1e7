"""The digest of a set: an order-free sum over its live records, kept up to date by adding and taking away.

Each record is hashed with keyed BLAKE2b to four 64-bit lanes; the digest of a set is the sum of its records'
hashes, lane by lane, modulo 2^64. Equal sets have equal digests in whatever order they came about; with the key
unknown to whoever chooses the records, unequal sets have equal digests only by chance (Bellare and Micciancio,
"A New Paradigm for Collision-Free Hashing", 1997). It proves equality of content, not who made it: signatures do
that.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

HASH_BYTES = 32
KEY_BYTES = 32

_LANE = (1 << 64) - 1
_ODD = _LANE << 64 | _LANE << 192
_EVEN = _LANE | _LANE << 128


def new_key() -> bytes:
    """Make the key of a new stream's digests: 32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def record_hash(key: bytes, *parts: bytes) -> bytes:
    """Hash one record, given as its parts, to 32 bytes. No two lists of parts are hashed alike."""
    state = hashlib.blake2b(key=key, digest_size=HASH_BYTES)
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.digest()


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of a set: 32 bytes, four little-endian lanes of 64 bits. `Digest()` is that of the empty set."""

    lanes: bytes = bytes(HASH_BYTES)

    def __post_init__(self) -> None:
        if len(self.lanes) != HASH_BYTES:
            raise ValueError(f"a digest has {HASH_BYTES} bytes, not {len(self.lanes)}")

    def plus(self, record: bytes) -> Digest:
        """Return the digest with one record more, given by its hash."""
        mine, other = int.from_bytes(self.lanes, "little"), int.from_bytes(record, "little")
        even = ((mine & _EVEN) + (other & _EVEN)) & _EVEN  # a carry falls into the lane that is masked away
        odd = ((mine & _ODD) + (other & _ODD)) & _ODD
        return Digest((even | odd).to_bytes(HASH_BYTES, "little"))

    def minus(self, record: bytes) -> Digest:
        """Return the digest with one record less, given by its hash."""
        negated = b"".join(
            (-int.from_bytes(record[at : at + 8], "little") & _LANE).to_bytes(8, "little")
            for at in range(0, HASH_BYTES, 8)
        )
        return self.plus(negated)

    @classmethod
    def of_hex(cls, text: str) -> Digest:
        """Read the 64 hexadecimal digits that `str` writes. Raises ValueError."""
        return cls(bytes.fromhex(text))

    def __str__(self) -> str:
        return self.lanes.hex()
