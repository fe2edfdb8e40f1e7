"""A set of galleries in memory, a policy, and a sync server and device around them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import numpy as np
from blake3 import blake3
from PIL import Image

from isthmus.core.errors import Refused
from isthmus.gallery.device.store import DeviceStore
from isthmus.gallery.record import IMAGE_FIELD, Document, GalleryStat, Held, Record, Removed
from isthmus.gallery.store.stored import FileImage
from isthmus.gallery.sync.epochs import Epochs
from isthmus.gallery.sync.messages import Act
from isthmus.gallery.sync.mode import Mode
from isthmus.gallery.sync.pull import SyncReport, pull
from isthmus.gallery.sync.server import Served, ServerSettings, SyncServer
from isthmus.gallery.sync.serving import serve
from isthmus.imaging.port import Metric, Model
from isthmus.state.audit import Audit
from isthmus.state.store import Store
from isthmus.transfer.channel import Channel, MemoryChannel, memory_pair

MODEL = Model("test-16", Metric.EUCLIDEAN, 16, 0.5, 100.0)
PEOPLE = "airport.people"


class StillClock:
    def now(self) -> datetime:
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def key(number: int | str) -> bytes:
    return bson.encode({"_id": number})


class MemorySet:
    """Keeps documents in dictionaries, images in a folder, and changes as gallery.ports.Set says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._documents: dict[str, dict[bytes, tuple[Document, Record]]] = {}
        self._removed: dict[str, dict[bytes, int]] = {}
        self._vectors: dict[tuple[bytes, str], bytes | None] = {}
        self._placed: set[bytes] = set()
        self._number = 0
        self.forgotten = 0

    def put(
        self, gallery: str, number: int | str, image: bytes | Held, *, refused: str | None = None, **fields: Any
    ) -> None:
        self._number += 1
        if isinstance(image, bytes):
            held = Held(blake3(image).digest(), len(image))
            (self._folder / held.digest.hex()).write_bytes(image)
            self._placed.add(held.digest)
        else:
            held = image
        name = key(number)
        record = Record(gallery, name, held, refused, self._number)
        self._documents.setdefault(gallery, {})[name] = ({"_id": number, **fields, IMAGE_FIELD: held}, record)
        self._removed.setdefault(gallery, {}).pop(name, None)

    def remove(self, gallery: str, number: int | str) -> None:
        self._number += 1
        del self._documents[gallery][key(number)]
        self._removed.setdefault(gallery, {})[key(number)] = self._number

    def drop(self, gallery: str) -> None:
        self._documents.pop(gallery)

    def keys(self, gallery: str) -> set[bytes]:
        return set(self._documents.get(gallery, {}))

    def galleries(self) -> list[GalleryStat]:
        return [
            GalleryStat(name, len(held), 0, 0, 0, self.change(name))
            for name, held in sorted(self._documents.items())
        ]

    def records(self, gallery: str, after: bytes = b"") -> Iterator[Record]:
        held = self._documents.get(gallery, {})
        return iter([held[name][1] for name in sorted(held) if name > after])

    def change(self, gallery: str) -> int:
        changed = [record.changed for _, record in self._documents.get(gallery, {}).values()]
        return max([*changed, *self._removed.get(gallery, {}).values()], default=0)

    def changes(self, gallery: str, after: int) -> Iterator[Record | Removed] | None:
        if after < self.forgotten:
            return None
        live = [record for _, record in self._documents.get(gallery, {}).values() if record.changed > after]
        gone = [Removed(gallery, k, at) for k, at in self._removed.get(gallery, {}).items() if at > after]
        return iter(sorted([*live, *gone], key=lambda change: change.changed))

    def document(self, gallery: str, key: bytes) -> Document | None:
        found = self._documents.get(gallery, {}).get(key)
        return None if found is None else dict(found[0])

    def image(self, digest: bytes) -> FileImage | None:
        return FileImage(self._folder / digest.hex(), digest) if digest in self._placed else None

    def vector(self, digest: bytes, model: str) -> bytes | None:
        return self._vectors.get((digest, model))

    def put_vectors(self, model: str, vectors: Iterable[tuple[bytes, bytes | None]]) -> None:
        for digest, vector in vectors:
            self._vectors[(digest, model)] = vector
            self._number += 1
            for gallery in self._documents.values():
                for name, (document, record) in gallery.items():
                    if record.image is not None and record.image.digest == digest:
                        changed = Record(record.gallery, name, record.image, record.refused, self._number, model)
                        gallery[name] = (document, changed)

    def without_vector(self, model: str, most: int) -> list[bytes]:
        return []


class OpenPolicy:
    """Allows what its table says; everything as images where there is none."""

    def __init__(self, table: Mapping[str, Mode] | None = None) -> None:
        self.table = table
        self.revoked = False
        self.acts: list[Act] = []

    def allowed(self, device: str, galleries: Iterable[str]) -> Mapping[str, Mode]:
        if self.revoked:
            raise Refused(f"the device {device} was revoked")
        if self.table is None:
            return dict.fromkeys(galleries, Mode.IMAGES)
        return {name: self.table[name] for name in galleries if name in self.table}

    def note(self, device: str, queue: bytes, acts: Sequence[Act]) -> int:
        self.acts += acts
        return acts[-1].number

    def seen(self, device: str) -> None:
        pass

    def reached(self, device: str, changes: Mapping[str, int], dropped: Iterable[str] = ()) -> None:
        pass


class DyingChannel:
    """A device's end of a channel that closes after some messages either way."""

    def __init__(self, inner: MemoryChannel, messages: int) -> None:
        self._inner, self._left = inner, messages

    async def send(self, message: bytes) -> None:
        await self._count()
        await self._inner.send(message)

    async def receive(self) -> bytes:
        await self._count()
        return await self._inner.receive()

    async def close(self) -> None:
        await self._inner.close()

    async def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            await self._inner.close()


class World:
    """A server over a set in memory, and devices that synchronise with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.set = MemorySet(folder / "images")
        self.policy = OpenPolicy()
        self.store = Store(folder / "server.db")
        self.audit = Audit(self.store, StillClock())
        self.epochs = Epochs(self.store)
        self.served: list[Served] = []
        self.restart()

    def restart(self) -> None:
        self.server = SyncServer(
            self.set, self.epochs, self.policy, self.audit, lambda gallery: MODEL, ServerSettings(idle_s=30)
        )

    def device(self, name: str = "device", **options: Any) -> DeviceStore:
        return DeviceStore(self.folder / name, StillClock(), **options)

    def fill(self, count: int, gallery: str = PEOPLE, size: int = 3000, vectors: bool = False) -> None:
        for number in range(count):
            self.add(number, gallery, size, vectors)

    def add(
        self, number: int, gallery: str = PEOPLE, size: int = 3000, vectors: bool = False, salt: str = ""
    ) -> bytes:
        image = photo(f"{gallery}{number}{salt}", size)
        self.set.put(gallery, number, image, name=f"person {number}{salt}")
        if vectors:
            self.set.put_vectors(MODEL.name, [(blake3(image).digest(), blake3(image).digest(16))])
        return image

    def sync(
        self,
        device: DeviceStore,
        wrap: Callable[[MemoryChannel], Channel] = lambda channel: channel,
        between: Callable[[MemoryChannel], Channel] = lambda channel: channel,
    ) -> SyncReport:
        """Synchronise; `wrap` and `between` may put something around the device's and the server's end."""

        async def both() -> SyncReport:
            ours, theirs = memory_pair()
            serving = asyncio.create_task(serve(self.server, between(theirs), "station-7"))
            try:
                return await pull(wrap(ours), device)
            finally:
                await ours.close()
                self.served.append(await serving)

        return asyncio.run(both())


def photo(seed: str, size: int) -> bytes:
    return blake3(seed.encode()).digest(size)


def scene(seed: int, quality: int = 90, size: int = 160) -> bytes:
    """A picture of coarse shapes: other seeds look different, other qualities the same."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize((size, size), Image.BICUBIC)
    out = io.BytesIO()
    coarse.save(out, "JPEG", quality=quality)
    return out.getvalue()


def held(device: DeviceStore, gallery: str = PEOPLE) -> dict[bytes, bytes]:
    """What a device holds, read back from its store: key to image or vector."""
    return {
        item.key: device.contents.read(item.image) if item.image else device.vector(item) or b""
        for _, item in device.items(gallery)
    }


def truth(world: World, gallery: str = PEOPLE) -> dict[bytes, bytes]:
    """What the server's set holds for devices."""
    found = {}
    for record in world.set.records(gallery):
        image = world.set.image(record.image.digest) if record.usable and record.image else None
        if image is not None:
            found[record.key] = image.read()
    return found
