"""What a set offers to a device: its records as items, and the contents that belong to them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import bson
from blake3 import blake3

from isthmus.gallery.ports import Set
from isthmus.gallery.record import IMAGE_FIELD, Held, Record, Removed
from isthmus.gallery.sync.item import (
    INLINE_ATTRIBUTES,
    INLINE_VECTOR,
    MOST_CONTENT_BYTES,
    MOST_KEY_BYTES,
    Item,
    Ref,
    item_hash,
    key_hash,
)
from isthmus.gallery.sync.mode import Mode

_CHUNK = 1024 * 1024
"""Larger images are hashed by another thread."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a content of an item comes from: the image itself, its vector, or the record's attributes."""

    part: str
    image: bytes
    key: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A gallery of a set as devices with one mode and model see it; `gallery_key` keys its hashes."""

    set: Set
    gallery: str
    gallery_key: bytes
    mode: Mode
    model: str

    def item(self, key: bytes) -> Item | None:
        """Build the item of a record; None where devices do not get it (yet).

        A record whose image was refused must not be asked for: the document does not tell.
        """
        if len(key) > MOST_KEY_BYTES:
            return None
        document = self.set.document(self.gallery, key)
        held = None if document is None else document.pop(IMAGE_FIELD, None)
        if document is None or not isinstance(held, Held) or held.text is not None:
            return None
        if held.size > MOST_CONTENT_BYTES:
            return None
        vector = self.set.vector(held.digest, self.model) if self.mode.vectors else None
        if vector is None and not self.mode.images:
            return None
        image = Ref(held.digest, held.size) if self.mode.images else None
        told = None if vector is None else _told(vector, INLINE_VECTOR)
        return Item(key, image, told, _told(bson.encode(document), INLINE_ATTRIBUTES))

    def of(self, change: Record | Removed) -> Item | None:
        """Build the item of a record as it was streamed; None where devices do not get it."""
        return self.item(change.key) if isinstance(change, Record) and change.usable else None

    def key_hash(self, key: bytes) -> bytes:
        """Hash a key of this gallery."""
        return key_hash(self.gallery_key, key)

    def hash(self, item: Item) -> bytes:
        """Hash an item of this gallery."""
        return item_hash(self.gallery_key, self.mode, item)

    def sources(self, item: Item) -> dict[bytes, Source]:
        """Tell where the contents of an item come from, by digest."""
        image = b""
        if isinstance(item.vector, Ref) or item.image is not None:
            document = self.set.document(self.gallery, item.key) if item.image is None else None
            held = (document or {}).get(IMAGE_FIELD)
            image = item.image.digest if item.image else held.digest if isinstance(held, Held) else b""
        found = {}
        if item.image is not None:
            found[item.image.digest] = Source("image", image, item.key, item.image.size)
        if isinstance(item.vector, Ref):
            found[item.vector.digest] = Source("vector", image, item.key, item.vector.size)
        if isinstance(item.attributes, Ref):
            found[item.attributes.digest] = Source("attributes", image, item.key, item.attributes.size)
        return found

    async def whole(self, digest: bytes, source: Source) -> bool:
        """Prove that a content is there and what its digest says: a damaged one is not to be sent."""
        if source.part != "image":
            return blake3(self._small(source)).digest() == digest
        image = self.set.image(source.image)
        if image is None:
            return False
        return image.proven() if source.size <= _CHUNK else await asyncio.to_thread(image.proven)

    def read(self, source: Source, offset: int, length: int) -> bytes | None:
        """Read a stretch of a content; None where it is not there in full any more."""
        if source.part == "image":
            image = self.set.image(source.image)
            if image is None:
                return None
            try:
                content = image.read(offset, length)
            except FileNotFoundError:
                return None
        else:
            content = self._small(source)[offset : offset + length]
        return content if len(content) == length else None

    def _small(self, source: Source) -> bytes:
        if source.part == "vector":
            return self.set.vector(source.image, self.model) or b""
        document = self.set.document(self.gallery, source.key)
        if document is None:
            return b""
        document.pop(IMAGE_FIELD, None)
        return bson.encode(document)


def _told(content: bytes, most: int) -> bytes | Ref:
    return content if len(content) <= most else Ref(blake3(content).digest(), len(content))
