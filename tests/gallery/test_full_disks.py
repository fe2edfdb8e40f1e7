"""A full disk at any write of a device, or of the server that serves it: made up for once there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from full_disk import Disk
from gallery_doubles import PEOPLE, World, held, truth
from isthmus.gallery.device.content import PartFile
from isthmus.gallery.sync.mode import Mode
from isthmus.transfer.channel import ChannelClosed


def world_of(folder: Path) -> World:
    world = World(folder)
    world.policy.table = {PEOPLE: Mode.BOTH}
    world.fill(5, size=100_000, vectors=True)
    return world


def change(world: World) -> None:
    world.set.remove(PEOPLE, 1)
    world.add(2, size=150_000, vectors=True, salt="new")
    world.add(9, size=1000, vectors=True)


@pytest.mark.parametrize("key", [None, b"k" * 32], ids=["as it is", "sealed"])
def test_a_full_disk_at_any_write_of_a_device_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: bytes | None
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(PartFile, "_put", disk.limited(PartFile._put))
    stopped = 0
    for writes in range(0, 300, 3):
        world = world_of(tmp_path / str(writes))
        device = world.device(key=key)
        world.sync(device)
        before = truth(world)
        change(world)
        disk.left = writes
        try:
            world.sync(device)
        except OSError as error:
            assert error.errno == 28
        full = disk.left < 0
        stopped += full
        disk.left = None
        assert set(held(device).values()) <= {*before.values(), *truth(world).values()}
        world.sync(device)
        assert held(device) == truth(world), writes
        assert device.galleries()[0].verified
        files = {file.name for file in (world.folder / "device" / "content").rglob("*") if file.is_file()}
        assert files == {device.contents.name(item.image.digest) for _, item in device.items(PEOPLE) if item.image}
        device.close()
        if not full:
            break
    assert not full
    assert stopped > 5


def test_a_server_whose_disk_is_full_ends_the_session_and_serves_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device learns of it at once; it does not wait for a server that has given up."""
    world = world_of(tmp_path)
    device = world.device()
    world.sync(device)
    change(world)
    note = world.audit.note

    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.audit, "note", full)
    with pytest.raises((ChannelClosed, OSError)):
        world.sync(device)
    monkeypatch.setattr(world.audit, "note", note)
    world.sync(device)
    assert held(device) == truth(world)
