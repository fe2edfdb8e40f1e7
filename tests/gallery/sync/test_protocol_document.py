"""A second device, written from docs/formats.md alone, against the server: plain MessagePack and plain Python."""

from __future__ import annotations

import asyncio
import hashlib
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from blake3 import blake3

from gallery_doubles import PEOPLE, World, truth
from isthmus.gallery.sync.mode import Mode
from isthmus.gallery.sync.serving import serve
from isthmus.transfer.channel import Channel, memory_pair

DOCUMENT = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
HELLO, RANGES, LEAVES, MORE, PULL, AGAIN, DONE, BYE = 1, 3, 4, 5, 6, 7, 8, 9
WELCOME, DIFFER, ITEMS, END, PIECE, CLOSED = 21, 22, 23, 24, 25, 28
LAST = b"\xff" * 8


def hashed(key: bytes, *parts: bytes) -> bytes:
    state = hashlib.blake2b(key=key, digest_size=32)
    for part in parts:
        state.update(struct.pack("<Q", len(part)) + part)
    return state.digest()


def digest_of(part: Any) -> bytes:
    return b"" if part is None else part[0] if isinstance(part, list) else blake3(part).digest()


def item_hash(key: bytes, mode: str, item: list[Any]) -> bytes:
    parts = (digest_of(item[1]), digest_of(item[2]), digest_of(item[3]))
    return hashed(key, b"item", item[0], mode.encode(), *parts)


def key_hash(key: bytes, of: bytes) -> bytes:
    return hashed(key, b"key", of)[:8]


@dataclass
class Plain:
    """What the second device holds of one gallery: items by key hash, contents by digest."""

    epoch: bytes = b""
    key: bytes = bytes(32)
    mode: str = "images"
    model: str = ""
    change: int = -1
    begun: int = -1
    cursor: bytes = b""
    items: dict[bytes, list[Any]] = field(default_factory=dict)
    contents: dict[bytes, bytes] = field(default_factory=dict)
    tiers: list[str] = field(default_factory=list)
    agreed: bool | None = None
    pages: int | None = None
    ahead: list[tuple[int, list[Any]]] = field(default_factory=list)

    def lane(self, place: bytes) -> int:
        return int(struct.unpack("<Q", item_hash(self.key, self.mode, self.items[place])[:8])[0])

    def digest(self) -> bytes:
        lanes = [0, 0, 0, 0]
        for item in self.items.values():
            one = struct.unpack("<4Q", item_hash(self.key, self.mode, item))
            lanes = [(a + b) % 2**64 for a, b in zip(lanes, one, strict=True)]
        return struct.pack("<4Q", *lanes)

    def sum(self, level: int, prefix: int) -> int:
        mine = (place for place in self.items if int.from_bytes(place, "big") >> (64 - 4 * level) == prefix)
        return sum(self.lane(place) for place in mine) % 2**64

    async def session(self, channel: Channel) -> None:
        self.channel = channel
        claim = [PEOPLE, self.epoch, self.mode, self.model, self.change, len(self.items), self.digest()]
        claims = [[*claim, self.begun, self.cursor]] if self.epoch else []
        await self.say(HELLO, 1, claims, False)
        starts, dropped, more = await self.hear(WELCOME)
        assert (len(starts), dropped, more) == (1, [], False)
        start = starts[0]
        while start[1] != "equal":
            start = await self.gallery(start)
            if start is None:
                break
        else:
            self.tiers.append("equal")
        await self.say(BYE)

    async def gallery(self, start: list[Any]) -> list[Any] | None:
        _, tier, epoch, key, mode, model, change, count, begun, _ = start
        self.tiers.append(tier)
        if key != self.key:
            self.items = {key_hash(key, item[0]): item for item in self.items.values()}
        self.epoch, self.key, self.mode, self.model = epoch, key, mode, model[0] if model else ""
        self.begun = begun if tier == "snapshot" else -1
        if tier == "reconcile":
            await self.compare(max(len(self.items), count))
        change, count, digest = await self.listing()
        if digest and (digest, count) != (self.digest(), len(self.items)):
            await self.say(AGAIN, "reconcile" if "reconcile" not in self.tiers else "snapshot")
            ((again,), _, _) = await self.hear(WELCOME)
            return list(again)
        self.change, self.begun, self.cursor = change, -1, b""
        await self.say(DONE, self.digest(), len(self.items))
        (self.agreed,) = await self.hear(CLOSED)
        return None

    async def listing(self) -> tuple[int, int, bytes]:
        while True:
            number, fields = await self.heard()
            if number == END:
                change, count, digest = fields
                return change, count, digest
            assert number == ITEMS
            items, removed, upto, cursor = fields
            await self.fetch([part for item in items for part in item[1:] if isinstance(part, list)])
            if cursor:
                told = {key_hash(self.key, item[0]) for item in items}
                gone = [at for at in self.items if self.cursor < at <= cursor and at not in told]
                self.cursor = cursor
            else:
                gone = [removed[at : at + 8] for at in range(0, len(removed), 8)]
            for place in gone:
                self.items.pop(place, None)
            self.items.update({key_hash(self.key, item[0]): item for item in items})
            self.change = upto if upto >= 0 else self.change
            if self.pages is not None:
                self.pages -= 1
                if self.pages < 0:
                    raise ConnectionAbortedError
            await self.say(MORE, 1)

    async def fetch(self, contents: list[Any]) -> None:
        for digest, size in contents:
            if digest in self.contents:
                continue
            await self.say(PULL, [[digest, 0, size]])
            came = b""
            while len(came) < size:
                told, offset, piece = await self.hear(PIECE)
                assert (told, offset) == (digest, len(came))
                came += piece
            assert blake3(came).digest() == digest
            self.contents[digest] = came

    async def compare(self, records: int) -> None:
        level, under = 0, b""
        while records > 256 * 16**level and level < 3:
            level += 1
        prefixes = list(range(16**level))
        while True:
            sums = struct.pack(f"<{len(prefixes)}Q", *(self.sum(level, prefix) for prefix in prefixes))
            await self.say(RANGES, level, under, sums, False)
            told, differing, theirs, more = await self.hear(DIFFER)
            assert told == level and not more
            below = [16 * one + nibble for (one,) in struct.iter_unpack("<I", differing) for nibble in range(16)]
            sums_below = [one for (one,) in struct.iter_unpack("<Q", theirs)]
            level += 1
            found = [p for p, one in zip(below, sums_below, strict=True) if self.sum(level, p) != one]
            if not found or records <= 64 * 16**level or level + 2 >= 8:
                break
            level, under = level + 1, struct.pack(f"<{len(found)}I", *found)
            prefixes = [16 * one + nibble for one in found for nibble in range(16)]
        mine = sorted(at for at in self.items if int.from_bytes(at, "big") >> (64 - 4 * level) in set(found))
        pairs = b"".join(struct.pack("<QQ", int.from_bytes(at, "big"), self.lane(at)) for at in mine)
        await self.say(LEAVES, level, struct.pack(f"<{len(found)}I", *found), pairs, False)

    async def say(self, *message: Any) -> None:
        await self.channel.send(b"\0" + msgspec.msgpack.encode(message))

    async def hear(self, number: int) -> list[Any]:
        while True:
            found, fields = await self.received()
            if found == number:
                return fields
            assert found in (ITEMS, END), f"{found} in place of {number}: {fields}"
            self.ahead.append((found, fields))

    async def heard(self) -> tuple[int, list[Any]]:
        return self.ahead.pop(0) if self.ahead else await self.received()

    async def received(self) -> tuple[int, list[Any]]:
        content = await self.channel.receive()
        plain = zstandard.decompress(content[1:]) if content[0] else content[1:]
        number, *fields = msgspec.msgpack.decode(plain)
        return number, fields


def synced(world: World, device: Plain) -> Plain:
    async def both() -> None:
        ours, theirs = memory_pair()
        serving = asyncio.create_task(serve(world.server, theirs, "station-7"))
        try:
            await device.session(ours)
        except ConnectionAbortedError:
            return
        finally:
            await ours.close()
            world.served.append(await serving)

    device.tiers, device.agreed, device.ahead = [], None, []
    asyncio.run(both())
    return device


def content(device: Plain) -> dict[bytes, bytes]:
    return {item[0]: device.contents[item[1][0]] if item[1] else item[2] for item in device.items.values()}


@pytest.mark.parametrize("mode", [Mode.IMAGES, Mode.VECTORS, Mode.BOTH])
def test_a_device_written_from_the_document_is_brought_up_to_date_by_every_tier(
    tmp_path: Path, mode: Mode
) -> None:
    world = World(tmp_path)
    world.policy.table = {PEOPLE: mode}
    world.fill(700, size=90_000 if mode is Mode.IMAGES else 700, vectors=mode.vectors)
    device = synced(world, Plain())
    assert (device.tiers, device.agreed, content(device)) == (["snapshot"], True, wanted(world, mode))

    world.add(3, salt="b", size=700, vectors=mode.vectors)
    world.add(9000, size=700, vectors=mode.vectors)
    world.set.remove(PEOPLE, 5)
    assert synced(world, device).tiers == ["changes"]
    assert (device.agreed, content(device)) == (True, wanted(world, mode))
    assert synced(world, device).tiers == ["equal"]

    for place in sorted(device.items)[10:13]:
        del device.items[place]
    world.set.remove(PEOPLE, 6)
    device.change = -1
    assert synced(world, device).tiers == ["reconcile"]
    assert (device.agreed, content(device)) == (True, wanted(world, mode))


def test_a_device_written_from_the_document_goes_on_with_a_snapshot_that_was_interrupted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.policy.table = {PEOPLE: Mode.IMAGES}
    world.fill(1500, size=300)
    device = Plain(pages=1)
    synced(world, device)
    there = len(device.items)
    assert 0 < there < 1500 and device.cursor not in (b"", LAST)
    device.pages = None
    world.add(9000, size=300)
    world.set.remove(PEOPLE, 5)
    assert synced(world, device).tiers == ["snapshot"]
    assert (device.agreed, content(device)) == (True, truth(world))
    assert world.served[-1].galleries[PEOPLE].items < 1500 - there + 10


def wanted(world: World, mode: Mode) -> dict[bytes, bytes]:
    images = truth(world)
    return images if mode.images else {key: blake3(image).digest(16) for key, image in images.items()}


def test_the_known_answers_of_the_device_protocol_are_right() -> None:
    import bson

    key = bytes(range(0x40, 0x60))
    person, attributes = bson.encode({"_id": "p1"}), bson.encode({"_id": "p1", "name": "Ada"})
    item = [person, [blake3(b"image").digest(), 5], b"\1\2\3", attributes]
    assert f"`{key_hash(key, person).hex()}`" in DOCUMENT
    assert f"`{item_hash(key, 'both', item).hex()}`" in DOCUMENT
    item[1] = None
    assert f"`{item_hash(key, 'vectors', item).hex()}`" in DOCUMENT
    hello = b"\0" + msgspec.msgpack.encode([HELLO, 1, [], False])
    assert re.search(rf"`{hello.hex(' ')}`", DOCUMENT)
