"""A device tells what a photo shows, or that it does not know; the store, matrix and extractor are real."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gallery_doubles import StillClock, scene
from isthmus.core.errors import InputError, UnknownName
from isthmus.gallery.device.site import DeviceSite
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.people import Persons
from isthmus.gallery.registry import Devices
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.gallery.sync.epochs import Epochs
from isthmus.gallery.sync.mode import Mode
from isthmus.gallery.sync.pull import SyncReport
from isthmus.gallery.sync.server import SyncServer
from isthmus.gallery.sync.serving import serve
from isthmus.imaging import extractors
from isthmus.imaging.decode import pixels
from isthmus.imaging.port import Extractor, Metric, Model
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
        self.set = SqliteSet(self.store, folder / "images", "things", check=True, packed=True)
        self.inner = InnerSite(self.set, clock, "ann", self.audit)
        self.phash: Extractor = extractors.load("phash")
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
                image = self.set.image(digest)
                assert image is not None
                made.append((digest, self.phash.extract(pixels(image.read()))))
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


def test_the_server_knows_when_a_device_came_last_even_with_nothing_to_tell(tmp_path: Path) -> None:
    sites = Sites(tmp_path, Mode.IMAGES)
    assert sites.devices.get("gate-1").seen is None
    sites.sync()
    assert sites.devices.get("gate-1").seen == StillClock().now()
    sites.device.close()


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


@pytest.mark.parametrize("dropped", [False, True], ids=["another mode", "taken away and given back"])
def test_what_went_while_a_gallery_began_anew_leaves_the_matrix_too(tmp_path: Path, dropped: bool) -> None:
    sites = Sites(tmp_path, Mode.VECTORS)
    for seed in range(3):
        sites.inner.add(GALLERY, f"thing {seed}", scene(seed))
    sites.vectors()
    sites.sync()
    assert sites.device.identify(scene(1), sites.phash, most=1).matches[0].id == "thing 1"
    vector = sites.phash.extract(pixels(scene(1)))
    sites.inner.remove(GALLERY, "thing 1")
    if dropped:
        sites.device.store.drop(GALLERY)  # and a kill, before the matrices followed
    else:
        sites.devices.withdraw(sites.rule.number, by="ann")
        sites.devices.grant([], ["airport.*"], Mode.BOTH, by="ann")
    assert sites.sync().galleries[0].verified
    assert len(sites.device.identify(scene(1), sites.phash, most=1).matches) == 1
    assert len(sites.device.identify(scene(1), sites.phash).matches) == 2
    sites.device.close()
    match = tmp_path / "device" / "match"
    assert vector is not None and vector not in b"".join(file.read_bytes() for file in match.rglob("rows-*.bin"))


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


class Tones:
    """An extractor whose vector is a picture's mean colour, so that a test can say how far two pictures are."""

    def __init__(self, wide: bool = True) -> None:
        self._wide = wide
        self.kin = (self._named(not wide).name,)

    @staticmethod
    def _named(wide: bool) -> Model:
        return (
            Model("tones/16", Metric.EUCLIDEAN, 16, 0.2)
            if wide
            else Model("tones/8", Metric.EUCLIDEAN, 8, 0.2, 100)
        )

    @property
    def model(self) -> Model:
        return self._named(self._wide)

    def extract(self, image: NDArray[np.uint8]) -> bytes:
        tone = np.zeros(8)
        tone[:3] = image.reshape(-1, 3).mean(axis=0) / 255
        return bytes(tone.astype("<f2")) if self._wide else bytes(np.rint(tone * 100).astype(np.int8))

    def translated(self, vector: bytes, model: str) -> bytes:
        assert model in self.kin
        if self._wide:
            return bytes(np.rint(np.frombuffer(vector, "<f2").astype(float) * 100).astype(np.int8))
        return bytes((np.frombuffer(vector, np.int8) / 100).astype("<f2"))


def _tone(red: float, green: float = 0.5) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (round(red * 255), round(green * 255), 128)).save(out, "PNG")
    return out.getvalue()


def _with_people(folder: Path, key: bytes | None, persons: Persons, mode: Mode = Mode.VECTORS) -> Sites:
    """Ann has three pictures, one of them near 0.50; Bob has one, further from it."""
    sites = Sites(folder, mode, key)
    sites.device.close()
    sites.device = DeviceSite(folder / "device", StillClock(), key, persons=persons)
    sites.phash = Tones()
    for name, red in (("a1", 0.45), ("a2", 0.20), ("a3", 0.10), ("b1", 0.60)):
        sites.inner.add(GALLERY, f"{name[0]}/{name}", _tone(red), {"name": {"a": "ann", "b": "bob"}[name[0]]})
    sites.vectors()
    sites.sync()
    return sites


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "sealed"])
@pytest.mark.parametrize("persons", [Persons("name"), Persons(by_folder=True)], ids=["attribute", "folder"])
def test_who_has_several_pictures_is_as_far_as_they_are_on_average(
    tmp_path: Path, key: bytes | None, persons: Persons
) -> None:
    sites = _with_people(tmp_path, key, persons)
    found = sites.device.identify(_tone(0.5), sites.phash).matches
    assert [(one.id, one.records, one.known) for one in found] == [("b/b1", 1, True), ("a/a1", 3, False)]
    assert [one.distance for one in found] == pytest.approx([0.1, 0.25], abs=0.01)
    assert sites.device.identify(_tone(0.25), sites.phash).matches[0].id == "a/a2"
    sites.inner.remove(GALLERY, "a/a3")
    sites.inner.replace(GALLERY, "a/a2", _tone(0.55), {"name": "ann"})
    sites.vectors()
    sites.sync()
    found = sites.device.identify(_tone(0.5), sites.phash).matches
    assert [(one.records, one.known) for one in found] == [(2, True), (1, True)]
    assert found[0].distance == pytest.approx(0.05, abs=0.01)


def test_without_a_word_on_whose_they_are_each_picture_counts_alone(tmp_path: Path) -> None:
    sites = _with_people(tmp_path, None, Persons())
    found = sites.device.identify(_tone(0.5), sites.phash).matches
    assert [one.id for one in found] == ["a/a1", "b/b1", "a/a2", "a/a3"]
    sites.device.close()
    with DeviceSite(tmp_path / "device", StillClock(), persons=Persons("name")) as told:
        assert [one.id for one in told.identify(_tone(0.5), sites.phash).matches] == ["b/b1", "a/a1"]
    sites.device = DeviceSite(tmp_path / "device", StillClock(), persons=Persons("no such attribute"))
    assert [one.records for one in sites.device.identify(_tone(0.5), sites.phash).matches] == [1, 1, 1, 1]
    sites.device.close()
    sites.device = DeviceSite(tmp_path / "device", StillClock())
    sites.sync()
    assert not list((tmp_path / "device").rglob("people.sqlite*"))
    sites.device.close()


@pytest.mark.parametrize("wide", [True, False], ids=["newer server", "newer device"])
def test_a_device_finds_what_it_holds_in_the_other_form_of_its_vectors(tmp_path: Path, wide: bool) -> None:
    sites = Sites(tmp_path, Mode.VECTORS)
    sites.phash = Tones(wide)
    for name, red in (("near", 0.45), ("far", 0.9)):
        sites.inner.add(GALLERY, name, _tone(red))
    sites.vectors()
    sites.sync()
    found = sites.device.identify(_tone(0.5), Tones(not wide))
    assert [one.id for one in found.matches] == ["near", "far"]
    assert found.matches[0].distance == pytest.approx(0.05, abs=0.015) and not found.unknown
    with pytest.raises(InputError, match="no gallery here has vectors of phash"):
        sites.device.identify(_tone(0.5), extractors.load("phash"))
