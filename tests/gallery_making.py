"""Small images, hostile ones, clocks and deliveries for the tests of the gallery."""

from __future__ import annotations

import base64
import contextlib
import io
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from isthmus.core.header import Header, Kind
from isthmus.core.ports import Cut, Source
from isthmus.gallery.ports import Set
from isthmus.gallery.record import Held
from isthmus.gallery.store.bounds import Bounds
from isthmus.gallery.store.mongo import MongoSet
from isthmus.gallery.store.packfile import Record
from isthmus.gallery.store.sqlite import SqliteSet, Step
from isthmus.state.store import Store

STREAM = "set1"


class SteppingClock:
    """Goes on by a second each time it is asked."""

    def __init__(self, start: datetime = datetime(2026, 5, 1, tzinfo=UTC)) -> None:
        self.time = start

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@cache
def jpeg(number: int, size: int = 16) -> bytes:
    """Make a small JPEG, another one for each number."""
    from PIL import Image

    image = Image.new("RGB", (size, size), (number * 37 % 256, number * 91 % 256, number % 256))
    image.putpixel((number % size, 0), (255, 255, 255))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def text_of(image: bytes) -> str:
    return base64.b64encode(image).decode()


def huge_png() -> bytes:
    """A PNG whose header tells of 400 megapixels."""
    return _png(20_000, 20_000, zlib.compress(bytes(1000)))


def _png(width: int, height: int, rows: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    )


@cache
def bomb_png() -> bytes:
    """A PNG of 60 kilobytes that unpacks to 64 megapixels."""
    rows = zlib.compressobj(9)
    return _png(8000, 8000, b"".join(rows.compress(bytes(8001)) for _ in range(8000)) + rows.flush())


def hostile_images() -> dict[str, bytes]:
    whole = jpeg(1, 64)
    return {
        "truncated": whole[: len(whole) // 2],
        "eps named .jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n" * 3,
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
        "400 megapixels": huge_png(),
        "decompression bomb": bomb_png(),
        "polyglot of jpeg and html": whole + b"<html><script>alert(1)</script></html>",
        "polyglot of jpeg and zip": whole + b"PK\3\4" + bytes(26) + b"PK\5\6" + bytes(18),
        "gif named .png": b"GIF89a" + bytes(40),
        "no image": bytes(range(256)),
    }


def sqlite_set(
    folder: Path,
    stream: str = STREAM,
    *,
    check: bool = False,
    packed: bool = False,
    bounds: Bounds | None = None,
    step: Step = lambda name: None,
) -> SqliteSet:
    store = Store(folder / "state.db")
    return SqliteSet(store, folder / "images", stream, check=check, packed=packed, bounds=bounds, step=step)


def alter(held: SqliteSet | MongoSet, digest: bytes, content: bytes | None) -> None:
    """Damage what lies where an image does, or restore it; None: take it away."""
    path, packs = held.files.path(digest), [*held.files.folder.glob("small-*.sqlite")]
    if path.exists() or not packs:
        path.unlink() if content is None else path.write_bytes(content)
        return
    row = None
    with contextlib.closing(sqlite3.connect(packs[0])) as connection, connection:
        row = connection.execute("SELECT at, size, digest FROM image WHERE digest = ?", (digest,)).fetchone()
        with (held.files.folder / "small.pack").open("r+b") as file:
            if row is None:
                assert content is not None
                row = (file.seek(0, 2), len(content), digest)
                connection.execute("INSERT INTO image (at, size, digest) VALUES (?, ?, ?)", row)
                file.write(Record(*row).header)
            file.seek(Record(*row).content)
            file.write((content or b"")[: row[1]].ljust(row[1], b"\0"))
        if content is None:
            connection.execute("DELETE FROM image WHERE digest = ?", (digest,))


def lying(images: Path) -> set[str]:
    """The digests, in hexadecimal, of all images below a folder: those that have files and packed ones."""
    found = {path.name for path in images.rglob("*") if len(path.name) == 64}
    for path in images.glob("small-*.sqlite"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            packed = {row[0].hex() for row in connection.execute("SELECT digest FROM image")}
        assert not found & packed, "each lies in one place"
        found |= packed
    return found


def content(held: Set) -> dict[str, dict[bytes, tuple[Any, bytes | None]]]:
    """Read all that a set holds: documents by gallery and key, each with the bytes of its image."""
    found: dict[str, dict[bytes, tuple[Any, bytes | None]]] = {}
    for stat in held.galleries():
        of = found[stat.gallery] = {}
        for record in held.records(stat.gallery):
            image = held.image(record.image.digest) if record.usable and record.image else None
            of[record.key] = (held.document(stat.gallery, record.key), image.read() if image else None)
    return found


@dataclass(frozen=True)
class Carried:
    """A delivery whose members are in memory, handed out in chunks of some size."""

    header: Header
    members: Mapping[str, bytes]
    chunk: int = 1000

    def read(self, member: str) -> Iterator[bytes]:
        whole = self.members[member]
        for at in range(0, len(whole), self.chunk):
            yield whole[at : at + self.chunk]


def carried(source: Source, cut: Cut, chunk: int = 1000) -> Carried:
    header = Header(source.stream, cut.kind, cut.since, cut.until, "inner", datetime.now(UTC), source.key)
    return Carried(header, {name: b"".join(opened()) for name, opened in cut.members.items()}, chunk)


def delivery(entries: bytes, header: Header) -> Carried:
    return Carried(header, {"entries.bson": entries})


def held_of(image: bytes) -> Held:
    from blake3 import blake3

    return Held(blake3(image).digest(), len(image))


__all__ = [
    "STREAM",
    "Carried",
    "Kind",
    "SteppingClock",
    "carried",
    "content",
    "delivery",
    "held_of",
    "hostile_images",
]
