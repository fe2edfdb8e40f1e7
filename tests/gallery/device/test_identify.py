"""A device tells what a photo shows, or that it does not know; the store, matrix and extractor are real."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from pathlib import Path

import pytest
from PIL import Image

from gallery_doubles import StillClock, scene
from isthmus.core.errors import InputError, UnknownName
from isthmus.gallery.device.site import DeviceSite
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.registry import Devices
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.gallery.sync.epochs import Epochs
from isthmus.gallery.sync.mode import Mode
from isthmus.gallery.sync.pull import SyncReport
from isthmus.gallery.sync.server import SyncServer
from isthmus.gallery.sync.serving import serve
from isthmus.imaging import extractors
from isthmus.imaging.decode import pixels
from isthmus.state.audit import Audit
from isthmus.state.store import Store
from isthmus.transfer.channel import memory_pair
from isthmus.transfer.signing import SigningKey

GALLERY = "airport.things"
KEY = bytes(range(32))


class Sites:
    """A server over the embedded store with its registry, and a device that was enrolled."""

    def __init__(self, folder: Path, mode: Mode, key: bytes | None = None) -> None:
        self.folder, clock = folder, StillClock()
        self.store = Store(folder / "site.db")
        self.audit = Audit(self.store, clock)
        self.set = SqliteSet(self.store, folder / "images", "things", check=True)
        self.inner = InnerSite(self.set, clock, "ann", self.audit)
        self.phash = extractors.load("phash")
        self.devices = Devices(self.store, clock, self.audit)
        self.devices.enrol(self.devices.invite("gate-1", [], by="ann"), SigningKey.create().public)
        self.rule = self.devices.grant([], ["airport.*"], mode, by="ann")
        self.server = SyncServer(
            self.set, Epochs(self.store), self.devices, self.audit, lambda gallery: self.phash.model
        )
        self.device = DeviceSite(folder / "device", clock, key)

    def vectors(self) -> None:
        """Make the vectors that are due, as the sync server does."""
        name = self.phash.model.name
        while digests := self.set.without_vector(name, 100):
            made = []
            for digest in digests:
                path = self.set.image(digest)
                assert path is not None
                made.append((digest, self.phash.extract(pixels(path.read_bytes()))))
            self.set.put_vectors(name, made)

    def sync(self) -> SyncReport:
        async def both() -> SyncReport:
            ours, theirs = memory_pair()
            serving = asyncio.create_task(serve(self.server, theirs, "gate-1"))
            try:
                return await self.device.sync(ours)
            finally:
                await ours.close()
                await serving

        return asyncio.run(both())


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "sealed"])
@pytest.mark.parametrize("mode", list(Mode))
def test_a_device_knows_what_it_was_sent_and_nothing_else(tmp_path: Path, mode: Mode, key: bytes | None) -> None:
    sites = Sites(tmp_path, mode, key)
    for seed in range(8):
        sites.inner.add(GALLERY, f"thing {seed}", scene(seed), {"shelf": seed})
    sites.vectors()
    assert sites.sync().galleries[0].verified
    if not mode.vectors:
        with pytest.raises(InputError, match="no gallery here has vectors"):
            sites.device.identify(scene(1), sites.phash)
        assert sites.device.extract(sites.phash) == 8 and sites.device.extract(sites.phash) == 0
    found = sites.device.identify(scene(3, quality=60), sites.phash)
    assert (found.matches[0].id, found.matches[0].attributes) == ("thing 3", {"_id": "thing 3", "shelf": 3})
    assert found.matches[0].known and not found.unknown and len(found.matches) == 5
    assert sites.device.identify(scene(99), sites.phash).unknown
    sites.inner.remove(GALLERY, "thing 3")
    sites.inner.replace(GALLERY, "thing 4", scene(44), {})
    sites.vectors()
    assert sites.sync().galleries[0].verified
    sites.device.extract(sites.phash)
    assert sites.device.identify(scene(3), sites.phash).unknown
    assert sites.device.identify(scene(4), sites.phash).unknown
    assert sites.device.identify(scene(44), sites.phash).matches[0].id == "thing 4"
    sites.sync()
    told = [(entry.who, entry.subject) for entry in sites.audit.entries() if entry.act == "identified"]
    assert told == [("gate-1", name) for name in ("thing 3", "unknown", "unknown", "unknown", "thing 4")]


def test_vectors_of_removed_records_leave_the_matrix_on_disk(tmp_path: Path) -> None:
    sites = Sites(tmp_path, Mode.VECTORS)
    for seed in range(4):
        sites.inner.add(GALLERY, f"thing {seed}", scene(seed))
    sites.vectors()
    sites.sync()
    sites.device.identify(scene(1), sites.phash)
    vector = sites.phash.extract(pixels(scene(1)))
    match = tmp_path / "device" / "match"
    rows = b"".join(file.read_bytes() for file in match.rglob("rows-*.bin"))
    assert vector is not None and vector in rows
    sites.inner.remove(GALLERY, "thing 1")
    sites.sync()
    assert vector not in b"".join(file.read_bytes() for file in match.rglob("rows-*.bin"))
    sites.devices.withdraw(sites.rule.number, by="ann")
    assert sites.sync().dropped == [GALLERY]
    assert not list(match.iterdir()) and not sites.device.list()


def test_a_sealed_device_keeps_no_matrix_on_its_disk(tmp_path: Path) -> None:
    sites = Sites(tmp_path, Mode.VECTORS, KEY)
    sites.inner.add(GALLERY, "thing", scene(1))
    sites.vectors()
    sites.sync()
    assert sites.device.identify(scene(1), sites.phash).matches[0].id == "thing"
    assert not (tmp_path / "device" / "match").exists()
    vector = sites.phash.extract(pixels(scene(1)))
    assert vector is not None
    assert not any(vector in file.read_bytes() for file in (tmp_path / "device").rglob("*") if file.is_file())


def test_a_device_that_was_opened_anew_knows_the_same(tmp_path: Path) -> None:
    sites = Sites(tmp_path, Mode.BOTH)
    for seed in range(4):
        sites.inner.add(GALLERY, f"thing {seed}", scene(seed))
    sites.vectors()
    sites.sync()
    first = sites.device.identify(scene(2), sites.phash)
    sites.device.close()
    with DeviceSite(tmp_path / "device", StillClock()) as again:
        assert again.identify(scene(2), sites.phash) == first
        assert [held.records for held in again.list()] == [4]
        small = again.thumbnail(GALLERY, "thing 2")
        assert max(Image.open(io.BytesIO(small)).size) == 160 and again.thumbnail(GALLERY, "thing 2") == small
        with pytest.raises(InputError, match="no image"):
            again.thumbnail(GALLERY, "nothing")
        with pytest.raises(UnknownName, match="airport"):
            again.identify(scene(2), sites.phash, ["airport.thing"])


def test_the_server_s_threshold_is_the_one_that_counts(tmp_path: Path) -> None:
    sites = Sites(tmp_path, Mode.VECTORS)
    sites.inner.add(GALLERY, "thing", scene(1))
    sites.vectors()
    sites.sync()
    assert not sites.device.identify(scene(1), sites.phash).unknown
    strict = dataclasses.replace(sites.phash.model, threshold=-1.0)
    sites.server.model_of = lambda gallery: strict
    sites.sync()
    assert sites.device.identify(scene(1), sites.phash).unknown
