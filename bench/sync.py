"""What it costs to bring a device up to date: bytes and round trips by tier, and vectors instead of images."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import bson
from blake3 import blake3

from bench.figure import Figure, scratch, show
from isthmus.gallery.device.store import DeviceStore
from isthmus.gallery.record import IMAGE_FIELD, Document, GalleryStat, Held, Record, Removed
from isthmus.gallery.store.stored import FileImage
from isthmus.gallery.sync.epochs import Epochs
from isthmus.gallery.sync.messages import Act
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.gallery.sync.pull import SyncReport, pull
from isthmus.gallery.sync.server import ServerSettings, SyncServer
from isthmus.gallery.sync.serving import serve
from isthmus.imaging.port import Metric, Model
from isthmus.state.audit import Audit
from isthmus.state.store import Store
from isthmus.transfer.channel import memory_pair

RECORDS = 1_000_000
CHANGES = 100
GALLERY = "airport.people"
MODEL = Model("faces-128", Metric.EUCLIDEAN, 256, 0.5)
SAMPLES = Path(os.environ.get("ISTHMUS_SAMPLES") or Path(__file__).resolve().parents[2] / "shared" / "data")
_IMAGES = 1000


class WideSet:
    """A gallery of many records made by number, in memory: object ids, names, and images shared by thousands."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self._documents: dict[bytes, Document] = {}
        self._records: dict[bytes, Record] = {}
        self._removed: dict[bytes, int] = {}
        self._number = 0

    def keep(self, content: bytes) -> Held:
        held = Held(blake3(content).digest(), len(content))
        (self._folder / held.digest.hex()).write_bytes(content)
        return held

    def put(self, number: int, image: Held) -> None:
        self._number += 1
        id = bson.ObjectId(blake3(number.to_bytes(8, "big")).digest(12))
        key = bson.encode({"_id": id})
        self._documents[key] = {"_id": id, "name": f"Person {number}", "group": number % 50, IMAGE_FIELD: image}
        self._records.pop(key, None)  # changes are told in the order of their numbers
        self._records[key] = Record(GALLERY, key, image, None, self._number, MODEL.name)

    def remove(self, number: int) -> None:
        self._number += 1
        key = bson.encode({"_id": bson.ObjectId(blake3(number.to_bytes(8, "big")).digest(12))})
        del self._documents[key], self._records[key]
        self._removed[key] = self._number

    def galleries(self) -> list[GalleryStat]:
        return [GalleryStat(GALLERY, len(self._records), 0, 0, 0, self._number)]

    def records(self, gallery: str) -> Iterator[Record]:
        return iter(self._records.values())

    def change(self, gallery: str) -> int:
        return self._number

    def changes(self, gallery: str, after: int) -> Iterator[Record | Removed] | None:
        found: list[Record | Removed] = []
        for record in reversed(self._records.values()):
            if record.changed <= after:
                break
            found.append(record)
        found += [Removed(gallery, key, at) for key, at in self._removed.items() if at > after]
        return iter(sorted(found, key=lambda change: change.changed))

    def document(self, gallery: str, key: bytes) -> Document | None:
        found = self._documents.get(key)
        return None if found is None else dict(found)

    def image(self, digest: bytes) -> FileImage:
        return FileImage(self._folder / digest.hex(), digest)

    def vector(self, digest: bytes, model: str) -> bytes | None:
        return blake3(digest).digest(MODEL.size)

    def put_vectors(self, model: str, vectors: Iterable[tuple[bytes, bytes | None]]) -> None:
        raise NotImplementedError

    def without_vector(self, model: str, most: int) -> list[bytes]:
        return []


class Everything:
    """Allows everything in one mode."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode

    def allowed(self, device: str, galleries: Iterable[str]) -> Mapping[str, Mode]:
        return dict.fromkeys(galleries, self._mode)

    def note(self, device: str, queue: bytes, acts: Sequence[Act]) -> int:
        return acts[-1].number


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def run(scale: float = 1.0) -> list[Figure]:
    """Measure the tiers over a channel inside the process, then both modes over real photos."""
    with scratch("sync") as folder:
        return [*_tiers(folder, max(2_000, int(RECORDS * scale))), *_modes(folder)]


def _tiers(folder: Path, records: int) -> list[Figure]:
    galleries = WideSet(folder / "images")
    shared = [
        galleries.keep(blake3(bytes([number % 256, number // 256])).digest(2000)) for number in range(_IMAGES)
    ]
    for number in range(records):
        galleries.put(number, shared[number % _IMAGES])
    store = Store(folder / "server.db")
    epochs = Epochs(store)
    server = SyncServer(galleries, epochs, Everything(Mode.IMAGES), Audit(store, Clock()), lambda gallery: None)
    device = DeviceStore(folder / "device", Clock())
    began = time.perf_counter()
    _synced(server, device, [Tier.SNAPSHOT])
    took = time.perf_counter() - began
    what = f"{CHANGES} changes among {records:,}"
    figures = [
        Figure(f"sync of a new gallery, {records:,} records, images there", records / took, "rec/s"),
    ]
    _change(galleries, records, "first")
    report = _synced(server, device, [Tier.CHANGES])
    figures += _figures(f"{what}, tier (a)", report, 10_000)
    epochs.renew(GALLERY)
    _change(galleries, records, "second")
    report = _synced(server, device, [Tier.RECONCILE])
    figures += _figures(f"{what}, tier (b), unknown epoch", report, 250_000)
    figures.append(Figure(f"  both sides hash {records:,} records anew", report.seconds, "s"))
    device.close()
    store.close()
    return figures


def _change(galleries: WideSet, records: int, salt: str) -> None:
    """Replace half of CHANGES with new images, add a quarter, remove a quarter."""
    half, quarter, round_ = CHANGES // 2, CHANGES // 4, len(salt)
    for number in range(half):
        galleries.put(number * 17 + round_, galleries.keep(blake3(f"{salt} {number}".encode()).digest(2000)))
    for number in range(quarter):
        galleries.put(
            records * round_ + number, galleries.keep(blake3(f"{salt} new {number}".encode()).digest(2000))
        )
        galleries.remove(1000 + round_ * quarter + number)


def _figures(what: str, report: SyncReport, most: int) -> list[Figure]:
    exchanged, trips = report.exchanged_bytes, report.round_trips
    goal = f"under {most // 1000} KB"
    return [
        Figure(f"sync, {what}: exchanged", exchanged / 1000, "KB", goal=goal, holds=exchanged < most),
        Figure("  round trips", trips, "", goal="1, at most 4", holds=trips <= 4),
        Figure("  content beside it", report.content_message_bytes / 1000, "KB"),
    ]


def _modes(folder: Path) -> list[Figure]:
    """Compare all bytes of a first synchronisation by mode, over photos as cameras made them."""
    figures = []
    for name, pattern in (("faces/caltech", "**/*.jpg"), ("photos/lund-walk", "**/*.[jJ][pP][gG]")):
        photos = sorted((SAMPLES / name).glob(pattern))
        if not photos:
            print(f"  no photos in {SAMPLES / name}: left out", flush=True)
            continue
        sent = {mode: _whole(folder / name.replace("/", "-") / mode.value, photos, mode) for mode in Mode}
        ratio = sent[Mode.IMAGES] / sent[Mode.VECTORS]
        label = f"sync, {len(photos)} photos of {name}: images by vectors"
        figures.append(Figure(label, ratio, "×", goal="at least 50×", holds=ratio >= 50))
        figures.append(Figure("  a record as vector, all told", sent[Mode.VECTORS] / len(photos), "B"))
    return figures


def _whole(folder: Path, photos: Sequence[Path], mode: Mode) -> int:
    galleries = WideSet(folder / "images")
    for number, photo in enumerate(photos):
        galleries.put(number, galleries.keep(photo.read_bytes()))
    store = Store(folder / "server.db")
    audit = Audit(store, Clock())
    server = SyncServer(galleries, Epochs(store), Everything(mode), audit, lambda gallery: MODEL)
    device = DeviceStore(folder / "device", Clock())
    report = _synced(server, device, [Tier.SNAPSHOT])
    device.close()
    store.close()
    return report.bytes_sent + report.bytes_received


def _synced(server: SyncServer, device: DeviceStore, tiers: list[Tier]) -> SyncReport:
    async def both() -> SyncReport:
        ours, theirs = memory_pair()
        serving = asyncio.create_task(serve(server, theirs, "bench"))
        report = await pull(ours, device)
        await serving
        return report

    server.settings = ServerSettings(idle_s=3600)
    report = asyncio.run(both())
    found = report.galleries[0]
    if found.tiers != tiers or not found.verified:
        raise AssertionError(f"expected {tiers}, came {found}")
    return report


if __name__ == "__main__":
    import sys

    show(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
