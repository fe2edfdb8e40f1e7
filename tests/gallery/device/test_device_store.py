"""What a device stores is deleted in full, and sealed where a key is given."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from blake3 import blake3

from gallery_doubles import PEOPLE, StillClock, World, held, key, photo, truth
from isthmus.core.errors import Busy, Corrupt, InputError, Refused
from isthmus.gallery.device.sealing import key_from_environment, key_from_file
from isthmus.gallery.device.site import DeviceSite
from isthmus.gallery.device.store import DeviceStore
from isthmus.gallery.sync.item import Ref
from isthmus.gallery.sync.mode import Mode
from isthmus.state.lock import held as locked
from isthmus.transfer.channel import memory_pair

KEY = bytes(range(32))


def everything(folder: Path) -> bytes:
    """All bytes and names below a folder."""
    return b"\n".join(
        str(file).encode() + file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    )


def test_a_removal_reaches_image_vector_thumbnail_and_every_trace(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.policy.table = {PEOPLE: Mode.BOTH}
    world.fill(4, vectors=True)
    device = world.device()
    world.sync(device)
    item = device.item(PEOPLE, device.place(PEOPLE, key(2)))
    image, vector, name = device.contents.read(item.image), item.vector, b"person 2"
    device.contents.thumbnail(item.image, lambda content: b"a small picture")
    folder = tmp_path / "device"
    assert image in everything(folder) and b"a small picture" in everything(folder)
    world.set.remove(PEOPLE, 2)
    world.sync(device)
    device.close()
    left = everything(folder)
    assert image not in left and b"a small picture" not in left and vector not in left and name not in left
    assert item.image.digest.hex().encode() not in left


def test_a_thumbnail_whose_image_is_removed_while_it_is_made_does_not_stay(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(2)
    device = world.device()
    world.sync(device)
    item = device.item(PEOPLE, device.place(PEOPLE, key(1)))

    def slow(content: bytes) -> bytes:
        world.set.remove(PEOPLE, 1)
        world.sync(world.device())
        return b"a small picture"

    assert device.contents.thumbnail(item.image, slow) == b"a small picture"
    assert b"a small picture" not in everything(tmp_path / "device")


def test_an_image_that_another_record_has_too_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    same = photo("same", 2000)
    world.set.put(PEOPLE, 1, same)
    world.set.put("other.people", 1, same)
    device = world.device()
    assert world.sync(device).content_bytes == 2000
    world.set.remove(PEOPLE, 1)
    world.set.put(PEOPLE, 2, photo("another", 100))
    world.sync(device)
    assert held(device, "other.people") == truth(world, "other.people")


def test_nothing_of_a_sealed_store_can_be_read_on_its_disk(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.policy.table = {PEOPLE: Mode.BOTH}
    world.fill(3, vectors=True, size=200_000)
    device = world.device(key=KEY)
    world.sync(device)
    device.queue.note("identified", PEOPLE, "person 1", "a secret detail")
    gallery_key = world.epochs.of(PEOPLE).key
    items = [item for _, item in device.items(PEOPLE)]
    device.contents.thumbnail(items[0].image, lambda content: b"a small picture")
    assert held(device) == truth(world)
    assert device.contents.thumbnail(items[0].image, lambda content: b"") == b"a small picture"
    told = everything(tmp_path / "device")
    for item in items:
        image = device.contents.read(item.image)
        assert image[:64] not in told and image[-64:] not in told
        assert item.vector not in told and item.attributes not in told and item.key not in told
        assert item.image.digest not in told and item.image.digest.hex().encode() not in told
    assert b"a secret detail" not in told and b"a small picture" not in told and gallery_key not in told


def test_a_wrong_key_or_none_is_told_in_one_line(tmp_path: Path) -> None:
    World(tmp_path).device(key=KEY).close()
    for wrong in (b"x" * 32, None):
        with pytest.raises(Refused) as refusal:
            DeviceStore(tmp_path / "device", StillClock(), wrong)
        assert "\n" not in str(refusal.value) and "key" in str(refusal.value)
    DeviceStore(tmp_path / "device", StillClock(), KEY).close()
    DeviceStore(tmp_path / "plain", StillClock()).close()
    with pytest.raises(InputError, match="not encrypted"):
        DeviceStore(tmp_path / "plain", StillClock(), KEY)


@pytest.mark.parametrize("sealed", [None, KEY])
def test_content_that_was_altered_on_the_disk_is_noticed(tmp_path: Path, sealed: bytes | None) -> None:
    world = World(tmp_path)
    world.fill(1, size=150_000)
    device = world.device(key=sealed)
    world.sync(device)
    _, item = next(device.items(PEOPLE))
    file = next((tmp_path / "device" / "content").glob("??/*"))
    whole = file.read_bytes()
    for altered in (bytes([whole[0] ^ 1]) + whole[1:], whole[:70_000], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(altered)
        with pytest.raises(Corrupt):
            device.contents.read(item.image)


def test_sealed_rows_cannot_be_moved_to_another_place(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(2)
    device = world.device(key=KEY)
    world.sync(device)
    places = [place for place, _ in device.items(PEOPLE)]
    with sqlite3.connect(tmp_path / "device" / "device.db") as connection:
        body = connection.execute("SELECT body FROM device_record WHERE hash = ?", (places[0],)).fetchone()[0]
        connection.execute("UPDATE device_record SET body = ? WHERE hash = ?", (body, places[1]))
    with pytest.raises(Corrupt):
        device.item(PEOPLE, places[1])


def test_a_key_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(KEY.hex() + "\n")
    file.chmod(0o600)
    assert key_from_file(file) == KEY
    file.chmod(0o644)
    with pytest.raises(InputError, match="others"):
        key_from_file(file)
    monkeypatch.setenv("DEVICE_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    assert key_from_environment("DEVICE_KEY") == KEY
    monkeypatch.setenv("DEVICE_KEY", "short")
    with pytest.raises(InputError) as error:
        key_from_environment("DEVICE_KEY")
    assert "short" not in str(error.value)
    with pytest.raises(InputError):
        key_from_environment("NOT_SET_AT_ALL")


def test_the_queue_of_acts_is_bounded_and_forgotten_once_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    device = world.device()
    device.queue._most = 5
    for number in range(8):
        device.queue.note("identified", PEOPLE, str(number), "")
    assert [act.subject for act in device.queue.oldest(10)] == ["3", "4", "5", "6", "7"]
    world.sync(device)
    assert [act.subject for act in world.policy.acts] == ["3", "4", "5", "6", "7"]
    assert device.acts(10) is None


@pytest.mark.parametrize("sealed", [None, KEY])
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_a_part_goes_on_at_its_last_whole_chunk_at_any_size(
    tmp_path: Path, sealed: bytes | None, size: int
) -> None:
    content = photo("part", size)
    ref = Ref(blake3(content).digest(), size)
    device = World(tmp_path).device(key=sealed)
    for stop in (0, size // 3, size // 2, size):
        part = device.part(ref)
        at = part.offset
        assert at % 65_536 == 0 and at <= max(0, size - 1)
        for offset in range(at, stop, 10_000):
            part.write(content[offset : min(offset + 10_000, stop)])
        if stop < size:
            part.close()
    assert part.finish()
    assert device.contents.read(ref) == content


def test_one_synchronisation_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "device" / "sync.lock"
    with DeviceSite(tmp_path / "device", StillClock()) as site, locked(lock, "it"), pytest.raises(Busy):
        asyncio.run(site.sync(memory_pair()[0]))
