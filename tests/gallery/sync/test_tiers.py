"""A device is brought up to date by each tier, to the same records and the same digest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gallery_doubles import MODEL, PEOPLE, World, held, key, photo, truth
from isthmus.core.errors import Refused
from isthmus.gallery.sync.messages import Claim
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.gallery.sync.tiers import Standing, choose


def tiers(report) -> list[Tier]:
    return report.galleries[0].tiers


def many(world: World, count: int) -> None:
    """Fill a gallery with vectors only, of one image's file, so that no files are written by the thousand."""
    world.policy.table = {PEOPLE: Mode.VECTORS}
    world.add(0, size=10, vectors=True)
    image = world.set.document(PEOPLE, key(0))["url"]
    for number in range(1, count):
        world.set.put(PEOPLE, number, image, name=f"person {number}")


def test_a_new_gallery_comes_as_a_snapshot(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(40)
    device = world.device()
    report = world.sync(device)
    assert tiers(report) == [Tier.SNAPSHOT]
    assert held(device) == truth(world) and len(truth(world)) == 40
    assert report.galleries[0].verified and report.content_bytes == 40 * 3000
    assert world.served[-1].galleries[PEOPLE].agreed


def test_changes_since_the_position_are_told_and_nothing_else(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(40)
    device = world.device()
    world.sync(device)
    world.add(7, salt="new")
    world.add(1000)
    world.set.remove(PEOPLE, 8)
    report = world.sync(device)
    assert tiers(report) == [Tier.CHANGES]
    assert (report.galleries[0].written, report.galleries[0].removed) == (2, 1)
    assert held(device) == truth(world)
    assert report.round_trips == 2 and report.content_bytes == 2 * 3000
    assert world.sync(device).round_trips == 1


def test_an_unknown_epoch_is_reconciled(tmp_path: Path) -> None:
    world = World(tmp_path)
    many(world, 3000)
    device = world.device()
    world.sync(device)
    world.epochs.renew(PEOPLE)
    world.add(7, salt="new", vectors=True)
    world.add(5000, vectors=True)
    world.set.remove(PEOPLE, 8)
    report = world.sync(device)
    assert tiers(report) == [Tier.RECONCILE]
    assert (report.galleries[0].written, report.galleries[0].removed) == (2, 1)
    assert {item.key for _, item in device.items(PEOPLE)} == world.set.keys(PEOPLE)
    assert report.round_trips <= 4
    assert tiers(world.sync(device)) == [Tier.EQUAL]


def test_forgotten_changes_are_reconciled(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(30)
    device = world.device()
    world.sync(device)
    world.add(3, salt="new")
    world.set.remove(PEOPLE, 4)
    world.set.forgotten = world.set.change(PEOPLE)
    report = world.sync(device)
    assert tiers(report) == [Tier.RECONCILE]
    assert report.content_bytes == 3000 and held(device) == truth(world)


def test_a_gallery_of_which_most_changed_comes_as_a_snapshot(tmp_path: Path) -> None:
    world = World(tmp_path)
    many(world, 2000)
    device = world.device()
    world.sync(device)
    world.epochs.renew(PEOPLE)
    image = world.set.document(PEOPLE, key(0))["url"]
    for number in range(1900):
        world.set.put(PEOPLE, number, image, name=f"renamed {number}")
    report = world.sync(device)
    assert tiers(report) == [Tier.RECONCILE, Tier.SNAPSHOT]
    assert report.galleries[0].verified and report.galleries[0].written == 1900


def test_contents_that_are_there_are_not_sent_again_by_a_snapshot(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(10)
    device = world.device()
    world.sync(device)
    world.epochs.renew(PEOPLE)
    for number in range(100, 125):
        world.add(number)
    report = world.sync(device)
    assert tiers(report) == [Tier.SNAPSHOT]
    assert report.content_bytes == 25 * 3000 and held(device) == truth(world)


def test_vectors_alone_are_sent_once_they_are_made(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.policy.table = {PEOPLE: Mode.VECTORS}
    for number in range(20):
        world.add(number, vectors=number % 2 == 0)
    device = world.device()
    assert world.sync(device).galleries[0].written == 10
    assert not list((tmp_path / "device" / "content").glob("??/*"))
    world.set.put_vectors(MODEL.name, [(world.set.document(PEOPLE, key(1))["url"].digest, bytes(16))])
    report = world.sync(device)
    assert tiers(report) == [Tier.CHANGES] and report.galleries[0].written == 1
    assert device.item(PEOPLE, device.place(PEOPLE, key(1))).vector == bytes(16)


def test_refused_images_are_never_offered(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(3)
    world.set.put(PEOPLE, "hostile", b"not an image", refused="it is no image")
    device = world.device()
    world.sync(device)
    assert key("hostile") not in held(device) and len(held(device)) == 3
    world.set.put(PEOPLE, 1, b"hostile now", refused="it is no image")
    world.sync(device)
    assert set(held(device)) == {key(0), key(2)}


@pytest.mark.parametrize("first", list(Mode))
@pytest.mark.parametrize("then", list(Mode))
def test_another_mode_takes_effect_at_the_next_session(tmp_path: Path, first: Mode, then: Mode) -> None:
    world = World(tmp_path)
    world.fill(6, vectors=True)
    device = world.device()
    world.policy.table = {PEOPLE: first}
    world.sync(device)
    world.policy.table = {PEOPLE: then}
    report = world.sync(device)
    assert report.galleries[0].verified
    for _, item in device.items(PEOPLE):
        assert (item.image is not None, item.vector is not None) == (then.images, then.vectors)
    files = [file for file in (tmp_path / "device" / "content").glob("*/*") if file.is_file()]
    assert len(files) == (6 if then.images else 0)
    if first.images and then.images:
        assert not report.content_message_bytes


def test_a_gallery_that_is_taken_away_is_deleted_with_its_files(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(5)
    world.fill(5, gallery="station.things")
    device = world.device()
    world.sync(device)
    world.policy.table = {"station.things": Mode.IMAGES}
    report = world.sync(device)
    assert report.dropped == [PEOPLE]
    assert [found.gallery for found in device.galleries()] == ["station.things"]
    assert len(list((tmp_path / "device" / "content").glob("??/*"))) == 5
    world.set.drop("station.things")
    world.sync(device)
    assert not device.galleries() and not list((tmp_path / "device" / "content").glob("??/*"))
    acts = [(entry.who, entry.act, entry.gallery) for entry in world.audit.entries()]
    assert ("station-7", "told to delete", PEOPLE) in acts and ("station-7", "received", PEOPLE) in acts


def test_a_revoked_device_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(5)
    device = world.device()
    world.sync(device)
    world.policy.revoked = True
    world.add(9)
    with pytest.raises(Refused, match="revoked"):
        world.sync(device)
    assert len(held(device)) == 5
    assert world.audit.entries()[-1].act == "refused"


def test_large_vectors_and_attributes_travel_by_digest(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.policy.table = {PEOPLE: Mode.BOTH}
    image = photo("one", 5000)
    world.set.put(PEOPLE, 1, image, note="x" * 200_000)
    held_image = world.set.document(PEOPLE, key(1))["url"]
    world.set.put_vectors(MODEL.name, [(held_image.digest, photo("vector", 4096))])
    device = world.device()
    world.sync(device)
    _, item = next(iter(device.items(PEOPLE)))
    assert device.vector(item) == photo("vector", 4096)
    assert len(device.attributes(item)) > 200_000 and device.contents.read(item.image) == image


def test_what_changes_while_it_is_told_comes_in_the_same_session(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(30, size=100)

    class Meddling:
        """Changes the set whenever the server sends something."""

        def __init__(self, inner) -> None:
            self.inner, self.left = inner, 6

        async def send(self, message: bytes) -> None:
            await self.inner.send(message)
            if self.left:
                self.left -= 1
                world.add(self.left, salt="meanwhile", size=100)
                world.set.remove(PEOPLE, 20 + self.left)

        async def receive(self) -> bytes:
            return await self.inner.receive()

        async def close(self) -> None:
            await self.inner.close()

    device = world.device()
    world.sync(device, between=Meddling)
    report = world.sync(device)
    assert report.galleries[0].verified and held(device) == truth(world)


def test_many_galleries_are_told_in_pages(tmp_path: Path) -> None:
    world = World(tmp_path)
    image = photo("same", 10)
    for number in range(210):
        world.set.put(f"place.gallery{number}", 1, image)
    world.server.settings = type(world.server.settings)(most_indexes=1000)
    device = world.device()
    report = world.sync(device)
    assert len(report.galleries) == 210 and all(found.verified for found in report.galleries)
    assert all(found.tiers == [Tier.EQUAL] for found in world.sync(device).galleries)
    world.policy.table = {}
    assert len(world.sync(device).dropped) == 210


HERE = Standing(b"epoch-01", Mode.IMAGES, "", 100, 10, bytes(32))


@pytest.mark.parametrize(
    ("claim", "tier"),
    [
        (None, Tier.SNAPSHOT),
        (Claim(PEOPLE, b"epoch-01", Mode.IMAGES, "", 100, 10, bytes(32)), Tier.EQUAL),
        (Claim(PEOPLE, b"epoch-01", Mode.IMAGES, "", 90, 10, b"x" * 32), Tier.CHANGES),
        (Claim(PEOPLE, b"epoch-01", Mode.IMAGES, "", 100, 10, b"x" * 32), Tier.RECONCILE),
        (Claim(PEOPLE, b"epoch-01", Mode.IMAGES, "", 101, 10, b"x" * 32), Tier.RECONCILE),
        (Claim(PEOPLE, b"epoch-01", Mode.IMAGES, "", 5, 10, b"x" * 32), Tier.RECONCILE),
        (Claim(PEOPLE, b"epoch-00", Mode.IMAGES, "", 100, 10, bytes(32)), Tier.RECONCILE),
        (Claim(PEOPLE, b"epoch-00", Mode.IMAGES, "", 100, 2, bytes(32)), Tier.SNAPSHOT),
        (Claim(PEOPLE, b"epoch-01", Mode.VECTORS, "m", 100, 10, bytes(32)), Tier.SNAPSHOT),
        (Claim(PEOPLE, b"epoch-01", Mode.IMAGES, "", -1, 5, bytes(32), 95, b"\x80" * 8), Tier.SNAPSHOT),
    ],
)
def test_the_tier_is_chosen_by_what_the_device_claims(claim: Claim | None, tier: Tier) -> None:
    assert choose(claim, HERE, lambda after: after >= 20)[0] is tier


def test_the_view_of_an_index_is_the_set_itself_after_any_changes(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(50, size=10)
    index = asyncio.run(world.server.index(PEOPLE, Mode.IMAGES))
    rng = np.random.default_rng(7)
    for _ in range(30):
        number = int(rng.integers(0, 80))
        if key(number) in world.set.keys(PEOPLE) and rng.random() < 0.5:
            world.set.remove(PEOPLE, number)
        else:
            world.add(number, salt=str(rng.random()), size=10)
        view = asyncio.run(index.view())
    world.restart()
    fresh = asyncio.run(asyncio.run(world.server.index(PEOPLE, Mode.IMAGES)).view())
    assert view.digest == fresh.digest and list(view.keys) == list(fresh.keys)
    assert np.array_equal(view.hashes, fresh.hashes) and np.array_equal(view.lanes, fresh.lanes)
