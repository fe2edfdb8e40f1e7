"""How documents are read and written as BSON, and what of them is hashed.

A document is kept without its image: `parted` takes the image field out and `whole` puts it back where it was.
The hash of a record is `core.digest.record_hash` of: the namespace, the BSON of {"_id": …}, the BLAKE3 of its
image (empty where it has none), and the BSON of the document without its image. Text in the image field that is no
image counts as an ordinary field.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import bson

from isthmus.core.digest import record_hash
from isthmus.gallery.oplog.entry import CODEC, key_bytes
from isthmus.gallery.record import IMAGE_FIELD, Document, Held
from isthmus.gallery.store.intake import Ready

key_of = key_bytes

NOWHERE = -1
"""The place of an image field that a document does not have."""


def document_of(body: bytes) -> Document:
    """Read a document that was kept without its image."""
    return bson.decode(body, CODEC)


def parted(document: Document, image: Ready | Held | None) -> tuple[bytes, int]:
    """Write a document as BSON, without its image field where `image` is one; also tell that field's place."""
    if image is None:
        return bson.encode(document, codec_options=CODEC), NOWHERE
    place = list(document).index(IMAGE_FIELD)
    rest = {name: value for name, value in document.items() if name != IMAGE_FIELD}
    return bson.encode(rest, codec_options=CODEC), place


def whole(body: bytes, place: int, image: Any) -> Document:
    """Read a document and put `image` where its image field was."""
    document = document_of(body)
    if place == NOWHERE:
        return document
    fields = list(document.items())
    fields.insert(place, (IMAGE_FIELD, image))
    return dict(fields)


def hash_of(stream_key: bytes, ns: str, key: bytes, image: bytes | None, body: bytes) -> bytes:
    """Hash one record of a stream's digest."""
    return record_hash(stream_key, ns.encode(), key, image or b"", body)


def held_text(text: str) -> Held:
    """Return what stands for a text in the image field that is no image."""
    from blake3 import blake3

    content = text.encode()
    return Held(blake3(content).digest(), len(content), text)


def of_row(row: sqlite3.Row) -> Document:
    """Read the document of a record's row; its image field holds a `Held`."""
    if row["place"] != NOWHERE:
        return whole(row["body"], row["place"], Held(row["image"], row["size"]))
    found = document_of(row["body"])
    text = found.get(IMAGE_FIELD)
    if isinstance(text, str):
        found[IMAGE_FIELD] = held_text(text)
    return found
