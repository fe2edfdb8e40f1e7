"""How fast set 2 takes in an increment: small entries, and entries with images, really decoded and stored.

Vectors are not part of it: they are made later, from the store. Peers, in the same run: what merely reading the
same entries as BSON costs, and what the engine costs over documents in memory.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import bson
from bson.timestamp import Timestamp

from bench.figure import SCRATCH, Figure, scratch
from isthmus.core.digest import Digest, new_key
from isthmus.core.header import Header, Kind
from isthmus.core.position import Position
from isthmus.gallery.memory import MemoryDocuments, MemoryWaiting
from isthmus.gallery.oplog.engine import Engine
from isthmus.gallery.oplog.entry import CODEC, make_delete, make_insert, make_replace
from isthmus.gallery.oplog.read import entries
from isthmus.gallery.store import codec
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.gallery.target import EVERYTHING, MEMBER, SetTarget
from isthmus.state.store import Store

SAMPLES = SCRATCH.parents[2] / "shared" / "data"
NS = "faces.staff"
_CHUNK = 256 * 1024
_WALL = datetime(2026, 5, 1, tzinfo=UTC)


class _Bundle:
    def __init__(self, whole: bytes, header: Header) -> None:
        self.header, self._whole = header, whole

    def read(self, member: str) -> Iterator[bytes]:
        assert member == MEMBER
        for at in range(0, len(self._whole), _CHUNK):
            yield self._whole[at : at + _CHUNK]


def run(scale: float) -> Iterator[Figure]:
    """Measure."""
    small = _small(max(500, int(40_000 * scale)))
    yield from _measured("small entries", small, "entries/s", 5000)
    photos = sorted((SAMPLES / "photos" / "lund-walk").glob("*.jpg"))
    faces = sorted((SAMPLES / "faces" / "caltech").rglob("*.jpg"))
    if not photos or not faces:
        print("  no photos: put them in ../shared/data")
        return
    most = int(400e6 * scale)
    yield from _measured("images, photos of 0.25 MB", _images(photos, most), "MB/s", 80)
    yield from _measured("images, faces of 0.04 MB", _images(faces, most), "MB/s", 80)


def _small(count: int) -> list[bytes]:
    """Inserts, replacements and deletes of records without an image, six to two to one."""
    made = []
    for n in range(count):
        ts = Timestamp(1000 + n // 100, n % 100 + 1)
        document = {"_id": f"person-{n:08d}", "name": f"Name {n}", "born": 1950 + n % 50, "tags": ["a", "b"]}
        if n % 9 < 6:
            made.append(make_insert(NS, document, ts, _WALL, None))
        elif n % 9 < 8:
            made.append(make_replace(NS, {**document, "_id": f"person-{n - 6:08d}"}, ts, _WALL, None))
        else:
            made.append(make_delete(NS, f"person-{n - 8:08d}", ts, _WALL, None))
    return made


def _images(files: list[Path], most_bytes: int) -> list[bytes]:
    """Inserts of real images; each is another file, by some bytes of padding behind the end of the picture."""
    contents, made, total, n = [file.read_bytes() for file in files], [], 0, 0
    while total < most_bytes:
        image = contents[n % len(contents)] + bytes(n // len(contents))
        document = {"_id": f"person-{n:08d}", "url": base64.b64encode(image).decode(), "name": f"Name {n}"}
        made.append(make_insert(NS, document, Timestamp(1000, n + 1), _WALL, None))
        total += len(made[-1])
        n += 1
    return made


def _measured(what: str, made: list[bytes], unit: str, goal: float) -> Iterator[Figure]:
    whole = b"".join(made)
    amount = len(made) if unit == "entries/s" else len(whole) / 1e6
    start = time.perf_counter()
    for raw in made:
        bson.decode(raw)
    reading = time.perf_counter() - start
    documents, key = MemoryDocuments(), new_key()
    engine = Engine(documents, MemoryWaiting(), EVERYTHING)
    start = time.perf_counter()
    for entry in entries([whole]):
        engine.apply(entry)
    in_memory = time.perf_counter() - start
    with scratch("oplog") as folder:
        store = Store(folder / "state.db")
        held = SqliteSet(store, folder / "images", "bench", check=True)
        digest = _digest(key, documents)
        header = Header("bench", Kind.INCREMENT, Position(1, 0), Position(1, len(made), digest), "b", _WALL, key)
        start = time.perf_counter()
        SetTarget(held).apply(_Bundle(whole, header))
        taken = time.perf_counter() - start
        held.close()
        store.close()
    rate = amount / taken
    yield Figure(
        f"set 2 applies {what}", rate, unit, "reading the BSON alone", amount / reading,
        f"at least {goal:,.0f}", rate >= goal,
    )  # fmt: skip
    yield Figure(f"the engine in memory, {what}", amount / in_memory, unit)


def _digest(key: bytes, documents: MemoryDocuments) -> Digest:
    """What the sender would tell."""
    digest = Digest()
    for ns, found in documents.everything().items():
        for document in found:
            image = document.pop("url", None)
            body = bson.encode(document, codec_options=CODEC)
            hashed = codec.hash_of(key, ns, codec.key_of(document["_id"]), image and image.digest, body)
            digest = digest.plus(hashed)
    return digest
