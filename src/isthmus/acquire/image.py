"""What is known of an image: what the storage server told, what the picture told, and where it was filed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from isthmus.acquire.request import Wish

InMemory = bytes | memoryview | tuple[memoryview, ...]
"""Content in memory, which may lie in several pieces, in their order, as the network brought them."""


def joined(content: InMemory) -> bytes:
    """Return content in one piece; the same object where it is bytes already."""
    return b"".join(content) if isinstance(content, tuple) else bytes(content)


def size_of(content: InMemory) -> int:
    """Return how many bytes content has."""
    return sum(map(len, content)) if isinstance(content, tuple) else len(content)


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a storage server told beside the content. `meta` is its own metadata (as S3's), in lower case."""

    content_type: str = ""
    modified: datetime | None = None
    etag: str = ""
    meta: dict[str, str] = {}


class Arrived(msgspec.Struct, frozen=True):
    """An image that came with a verified delivery, to be checked and filed for one request.

    `content` is the bytes, or the file that holds them where it came streamed; `digest` is their BLAKE3 as 64
    hexadecimal digits, proven already.
    """

    request: int
    environment: str
    wish: Wish
    content: InMemory | Path
    digest: str
    told: Told = Told()


class Filed(msgspec.Struct, frozen=True):
    """An image on the disk: durable under `path` (relative to the images' root, with /).

    `digest` is BLAKE3 of the stored bytes; `source_digest` of those that came, another one where metadata was
    removed. `taken` is aware; `taken_from` and `place_from` say who knew: exif, server, client, or empty.
    `place` is the folder's name (unknown-place where nobody knows), `place_name` what people read.
    `phash` is 16 hexadecimal digits, empty for a picture of one colour. Width and height are upright, in pixels.
    """

    digest: str
    source_digest: str
    path: str
    size: int
    format: str
    width: int
    height: int
    place: str
    place_name: str = ""
    place_from: str = ""
    country: str = ""
    latitude: float | None = None
    longitude: float | None = None
    taken: datetime | None = None
    taken_from: str = ""
    camera: str = ""
    phash: str = ""
    flaws: tuple[str, ...] = ()
    """What of its metadata was left aside, in words."""
