"""A gallery's records as values: what set 1 and set 2 hold, and what devices are told of them.

A gallery is one MongoDB namespace `<database>.<gallery>`. A record is one document there; its image travels in the
field `url` as base64. Inside a store the image lies apart, by the BLAKE3 of its bytes, and `url` holds a `Held`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

IMAGE_FIELD = "url"

Document = dict[str, Any]
"""A BSON document, its fields in order. `_id` may be of any BSON type."""


@dataclass(frozen=True, slots=True)
class Held:
    """Stands in a document for an image that the store holds: its BLAKE3 (32 bytes) and its size in bytes.

    `text` is the field's own text where it was no base64; then there is no image, and `digest` is the text's.
    """

    digest: bytes
    size: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One live record of a gallery.

    `key` is the BSON of {"_id": …}, so ids of any type have one order and one form; `image` is None where the
    document has no image; `refused` says why its image is not used (not decodable, too large …): such a record
    counts in the set's digest, as it does at the sender, but no device ever gets it. `changed` is the number of
    the change that made it so, in this store's own count. `vector_of` names the model whose vector is there.
    """

    gallery: str
    key: bytes
    image: Held | None
    refused: str | None
    changed: int
    vector_of: str | None = None

    @property
    def usable(self) -> bool:
        """Whether devices may get it."""
        return self.image is not None and self.image.text is None and self.refused is None


@dataclass(frozen=True, slots=True)
class Removed:
    """A record that is gone, and the number of the change that removed it."""

    gallery: str
    key: bytes
    changed: int


@dataclass(frozen=True, slots=True)
class GalleryStat:
    """What one gallery holds: counts of records, bytes of images."""

    gallery: str
    records: int
    image_bytes: int
    refused: int
    vectors: int
    changed: int
