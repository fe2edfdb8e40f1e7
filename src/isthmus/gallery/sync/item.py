"""A record as a device is told of it, and its two hashes.

The image travels apart, by the BLAKE3 of its bytes; so does a vector above INLINE_VECTOR and the attributes above
INLINE_ATTRIBUTES. Attributes are the BSON of the document without its image field.

- key hash: the first 8 bytes, big-endian, of the keyed hash (core.digest) of ("key", key). Records are ordered,
  ranged and removed by it. Two keys of a gallery with one hash are a matter of chance (3e-8 for a million keys);
  the server then takes another digest key.
- item hash: the keyed hash of ("item", key, mode, BLAKE3 of the image or nothing, BLAKE3 of the vector or nothing,
  BLAKE3 of the attributes). A gallery's digest is the sum of its items' hashes.
"""

from __future__ import annotations

from typing import Annotated

from blake3 import blake3
from msgspec import Meta, Struct

from isthmus.core.digest import record_hash
from isthmus.gallery.sync.mode import Mode

KEY_HASH_BYTES = 8
INLINE_VECTOR = 1024
INLINE_ATTRIBUTES = 8192
MOST_KEY_BYTES = 4096
"""A record whose key is longer is not offered to devices."""
MOST_CONTENT_BYTES = 64 * 1024 * 1024

Hash32 = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Ref(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Content that travels apart: its BLAKE3 and its size in bytes."""

    digest: Hash32
    size: Annotated[int, Meta(ge=0, le=MOST_CONTENT_BYTES)]


class Item(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A record as a device is told of it. `vector` is the vector or where to get it; so is `attributes`."""

    key: Annotated[bytes, Meta(min_length=5, max_length=MOST_KEY_BYTES)]
    image: Ref | None
    vector: Annotated[bytes, Meta(max_length=INLINE_VECTOR)] | Ref | None
    attributes: Annotated[bytes, Meta(max_length=INLINE_ATTRIBUTES)] | Ref

    @property
    def contents(self) -> list[Ref]:
        """List what has to be there besides the item itself."""
        return [part for part in (self.image, self.vector, self.attributes) if isinstance(part, Ref)]


def key_hash(gallery_key: bytes, key: bytes) -> bytes:
    """Hash a record's key to 8 bytes."""
    return record_hash(gallery_key, b"key", key)[:KEY_HASH_BYTES]


def item_hash(gallery_key: bytes, mode: Mode, item: Item) -> bytes:
    """Hash an item to the 32 bytes that its gallery's digest sums up."""
    image = item.image.digest if item.image else b""
    vector = b"" if item.vector is None else _digest(item.vector)
    return record_hash(
        gallery_key, b"item", item.key, mode.value.encode(), image, vector, _digest(item.attributes)
    )


def _digest(part: bytes | Ref) -> bytes:
    return part.digest if isinstance(part, Ref) else blake3(part).digest()
