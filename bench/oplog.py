"""How fast set 2 takes in an increment: small entries, and entries with images, really decoded and stored.

Vectors are not part of it: they are made later, from the store. Peers, in the same run: for small entries, what
merely reading them as BSON costs; for images, what reading the base64, checking and hashing them costs on two
threads, turn about with the whole. Folders are removed when all is measured: for minutes ext4 passes over freed
inodes one by one, and makes new files several times as slowly.
"""

from __future__ import annotations

import base64
import contextlib
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import bson
from blake3 import blake3
from bson.timestamp import Timestamp

from bench.figure import SCRATCH, Figure, scratch
from isthmus.core.digest import Digest, new_key
from isthmus.core.header import Header, Kind
from isthmus.core.position import Position
from isthmus.gallery.memory import MemoryDocuments, MemoryWaiting
from isthmus.gallery.oplog.engine import Engine
from isthmus.gallery.oplog.entry import CODEC, make_delete, make_insert, make_replace
from isthmus.gallery.oplog.read import entries
from isthmus.gallery.store import codec, inline
from isthmus.gallery.store.sqlite import SqliteSet, image_check
from isthmus.gallery.target import EVERYTHING, MEMBER, SetTarget
from isthmus.state.store import Store

SAMPLES = SCRATCH.parents[2] / "shared" / "data"
NS = "faces.staff"
_CHUNK = 256 * 1024
_ROUNDS = 5
_KEY = new_key()
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
    with scratch("oplog") as folder:
        yield from _small_entries(_small(max(500, int(40_000 * scale))), folder / "small")
        photos = sorted((SAMPLES / "photos" / "lund-walk").glob("*.jpg"))
        faces = sorted((SAMPLES / "faces" / "caltech").rglob("*.jpg"))
        if not photos or not faces:
            print("  no photos: put them in ../shared/data")
            return
        most = int(200e6 * scale)
        yield from _image_entries("photos of 0.37 MB", _images(photos, most), folder / "photos")
        yield from _image_entries("faces of 0.04 MB", _images(faces, most), folder / "faces")
        yield from _replaced_images("faces of 0.04 MB", faces, most, folder / "replaced")


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


def _images(files: list[Path], most_bytes: int, again: int = 0) -> list[bytes]:
    """Inserts of real images; each is another file, by some bytes of padding behind the end of the picture.

    With `again` replacements of the same records by yet other images.
    """
    contents, made, total, n = [file.read_bytes() for file in files], [], 0, 0
    make = make_replace if again else make_insert
    while total < most_bytes:
        image = contents[n % len(contents)] + bytes(n // len(contents) + 1000 * again)
        document = {"_id": f"person-{n:08d}", "url": base64.b64encode(image).decode(), "name": f"Name {n}"}
        made.append(make(NS, document, Timestamp(1000 + again, n + 1), _WALL, None))
        total += len(made[-1])
        n += 1
    return made


def _small_entries(made: list[bytes], folder: Path) -> Iterator[Figure]:
    start = time.perf_counter()
    for raw in made:
        bson.decode(raw)
    reading = time.perf_counter() - start
    header, in_memory = _in_memory(made)
    rate = len(made) / _applied(made, header, folder)
    yield Figure(
        "set 2 applies small entries", rate, "entries/s", "reading the BSON alone", len(made) / reading,
        "at least 5,000", rate >= 5000,
    )  # fmt: skip
    yield Figure("the engine in memory, small entries", len(made) / in_memory, "entries/s")


def _image_entries(what: str, made: list[bytes], folder: Path) -> Iterator[Figure]:
    amount = sum(map(len, made)) / 1e6
    header, in_memory = _in_memory(made)
    alone, whole = [], []
    for number in range(_ROUNDS):
        alone.append(_made_ready(made))
        whole.append(_applied(made, header, folder / str(number)))
    rate = amount / statistics.median(whole)
    yield Figure(
        f"set 2 applies images, {what}", rate, "MB/s", "reading, checking, hashing alone",
        amount / statistics.median(alone), "at least 80", rate >= 80,
    )  # fmt: skip
    share = statistics.median(before / after for before, after in zip(alone, whole, strict=True))
    yield Figure(f"of what images alone allow, {what}", share, "")
    yield Figure(f"the engine in memory, images, {what}", amount / in_memory, "MB/s")


def _replaced_images(what: str, files: list[Path], most: int, folder: Path) -> Iterator[Figure]:
    """Replace every image of a set, again and again: what is removed is taken off the disk each time."""
    rounds = [_images(files, most, again) for again in range(_ROUNDS)]
    count = min(map(len, rounds))
    rounds = [made[:count] for made in rounds]
    taken = []
    with Store(folder / "state.db") as store:
        held = SqliteSet(store, folder / "images", "bench", check=True, packed=True)
        with contextlib.closing(held):
            for number, made in enumerate(rounds):
                header, _ = _in_memory(made, number)
                start = time.perf_counter()
                SetTarget(held).apply(_Bundle(b"".join(made), header))
                taken.append(sum(map(len, made)) / 1e6 / (time.perf_counter() - start))
    yield Figure(f"set 2 replaces images, {what}", statistics.median(taken[1:]), "MB/s")


def _made_ready(made: list[bytes]) -> float:
    """Read, check and hash the images of entries on two threads, and nothing else. Returns the seconds."""
    texts = [bson.decode(raw)["o"]["url"] for raw in made]
    check = image_check()

    def ready(part: list[str]) -> None:
        for text in part:
            content = inline.image_of(text)
            assert content is not None
            assert check(content) is None
            blake3(content).digest()

    with ThreadPoolExecutor(2) as pool:
        start = time.perf_counter()
        list(pool.map(ready, [texts[at : at + 8] for at in range(0, len(texts), 8)]))
        return time.perf_counter() - start


def _in_memory(made: list[bytes], after: int = 0) -> tuple[Header, float]:
    """Apply entries to documents in memory. Returns the header of their bundle, and the seconds.

    `after` so many bundles of as many entries, each of which gave every record anew.
    """
    documents, key = MemoryDocuments(), _KEY
    engine = Engine(documents, MemoryWaiting(), EVERYTHING)
    start = time.perf_counter()
    for entry in entries([b"".join(made)]):
        engine.apply(entry)
    taken = time.perf_counter() - start
    since = after * len(made)
    until = Position(1, since + len(made), _digest(key, documents))
    return Header("bench", Kind.INCREMENT, Position(1, since), until, "b", _WALL, key), taken


def _applied(made: list[bytes], header: Header, folder: Path) -> float:
    """Apply entries to a new set in a folder. Returns the seconds."""
    bundle = _Bundle(b"".join(made), header)
    with Store(folder / "state.db") as store:
        held = SqliteSet(store, folder / "images", "bench", check=True, packed=True)
        with contextlib.closing(held):
            start = time.perf_counter()
            SetTarget(held).apply(bundle)
            return time.perf_counter() - start


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
