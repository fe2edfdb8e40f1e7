"""A channel that dies at any message loses nothing that came whole; wrong content is never kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from gallery_doubles import PEOPLE, DyingChannel, World, held, truth
from isthmus.core.errors import Corrupt
from isthmus.gallery.sync import messages
from isthmus.gallery.sync.messages import Piece
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.transfer.channel import ChannelClosed, MemoryChannel

SEALED = b"k" * 32
THINGS = "galleries.things"


class Counting:
    """Counts the content that comes, by digest."""

    def __init__(self, inner: MemoryChannel, came: dict[bytes, int]) -> None:
        self._inner, self._came = inner, came

    async def send(self, message: bytes) -> None:
        await self._inner.send(message)

    async def receive(self) -> bytes:
        message = await self._inner.receive()
        piece = messages.of_server(message)
        if isinstance(piece, Piece):
            self._came[piece.digest] = self._came.get(piece.digest, 0) + len(piece.content)
        return message

    async def close(self) -> None:
        await self._inner.close()


def prepared(folder: Path, tier: Tier, name: str, sealed: bool):
    world = World(folder / name)
    world.fill(4, size=200)
    world.policy.table = {PEOPLE: Mode.IMAGES}
    device = world.device(key=SEALED if sealed else None)
    if tier is not Tier.SNAPSHOT:
        world.sync(device)
    if tier is Tier.RECONCILE:
        world.epochs.renew(PEOPLE)
    for number in range(8, 10):
        world.add(number, size=150_000)
    world.add(2, salt="new", size=70_000)
    world.set.remove(PEOPLE, 3)
    return world, device


@pytest.mark.parametrize(
    ("tier", "sealed"),
    [(Tier.SNAPSHOT, False), (Tier.SNAPSHOT, True), (Tier.CHANGES, False), (Tier.RECONCILE, True)],
)
def test_a_session_cut_at_any_message_is_resumed_without_fetching_anything_twice(
    tmp_path: Path, tier: Tier, sealed: bool
) -> None:
    """Whole contents are never fetched again; of a part no more than its last, unfinished 64 KiB."""
    finished = False
    for messages_ in range(60):
        world, device = prepared(tmp_path, tier, f"{tier.value}{messages_}", sealed)
        came: dict[bytes, int] = {}
        try:
            world.sync(device, wrap=lambda inner, n=messages_, c=came: DyingChannel(Counting(inner, c), n))
            finished = True
        except ChannelClosed:
            whole = {digest for digest in came if device.contents.has(digest)}
            before = dict(came)
            report = world.sync(device, wrap=lambda inner, c=came: Counting(inner, c))
            assert report.galleries[0].verified
            assert all(came[digest] == before[digest] for digest in whole)
        sizes = {item.image.digest: item.image.size for _, item in device.items(PEOPLE)}
        assert held(device) == truth(world)
        assert all(count < sizes[digest] + 64 * 1024 for digest, count in came.items())
        device.close()
        world.store.close()
        if finished:
            return
    pytest.fail("the session never ended by itself")


class Wrong:
    """The server's end of a channel that flips a bit of the first so many pieces."""

    def __init__(self, inner: MemoryChannel, times: int) -> None:
        self._inner, self._times = inner, times

    async def send(self, message: bytes) -> None:
        decoded = messages.of_server(message)
        if isinstance(decoded, Piece) and self._times:
            self._times -= 1
            content = bytes([decoded.content[0] ^ 1]) + decoded.content[1:]
            message = messages.encode(Piece(decoded.digest, decoded.offset, content))
        await self._inner.send(message)

    async def receive(self) -> bytes:
        return await self._inner.receive()

    async def close(self) -> None:
        await self._inner.close()


def test_wrong_content_is_thrown_away_and_asked_for_once_more(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(1, size=1000)
    device = world.device()
    report = world.sync(device, between=lambda inner: Wrong(inner, 1))
    assert report.refetched == 1 and held(device) == truth(world)


def test_content_that_is_wrong_twice_is_never_kept(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(3, size=1000)
    device = world.device()
    with pytest.raises(Corrupt, match="twice"):
        world.sync(device, between=lambda inner: Wrong(inner, 99))
    assert not held(device)
    assert not list((tmp_path / "device" / "content").glob("??/*"))
    world.sync(device)
    assert held(device) == truth(world)


def test_an_interrupted_snapshot_goes_on_where_it_was_and_takes_in_what_changed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.policy.table = {PEOPLE: Mode.VECTORS}
    for number in range(1500):
        world.set.put(PEOPLE, number, b"same", note="x" * 100)
    world.set.put_vectors("test-16", [(next(world.set.records(PEOPLE)).image.digest, bytes(16))])
    device = world.device()
    with pytest.raises(ChannelClosed):
        world.sync(device, wrap=lambda inner: DyingChannel(inner, 5))
    claim = device.claims()[0]
    assert 0 < claim.count < 1500 and claim.cursor > bytes(8)
    world.set.remove(PEOPLE, 17)
    world.set.put(PEOPLE, 4000, world.set.document(PEOPLE, next(world.set.records(PEOPLE)).key)["url"])
    report = world.sync(device)
    assert report.galleries[0].tiers == [Tier.SNAPSHOT] and report.galleries[0].verified
    assert report.galleries[0].written < 1500 - claim.count + 10
    assert {item.key for _, item in device.items(PEOPLE)} == world.set.keys(PEOPLE)


def test_an_image_that_vanished_at_the_server_leaves_its_record_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(4, size=1000)
    world.set.image(next(world.set.records(PEOPLE)).image.digest).path.unlink()
    device = world.device()
    with pytest.raises(Corrupt, match="differs"):
        world.sync(device)
    assert len(held(device)) == 3 and not device.galleries()[0].verified
    world.add(0, size=1000)
    assert world.sync(device).galleries[0].verified and held(device) == truth(world)


@pytest.mark.parametrize("damage", ["altered", "cut", "gone"])
@pytest.mark.parametrize("size", [1000, 1_500_000], ids=["small", "large"])
def test_a_damaged_image_at_the_server_holds_up_no_other_record_and_no_other_gallery(
    tmp_path: Path, damage: str, size: int
) -> None:
    world = World(tmp_path)
    world.fill(4, size=size)
    world.fill(3, gallery=THINGS, size=1000)
    records = list(world.set.records(PEOPLE))
    lost = world.set.image(records[1].image.digest).path
    content = lost.read_bytes()
    hurt(lost, damage)
    device = world.device()
    with pytest.raises(
        Corrupt, match=rf"{PEOPLE} differs .* 1 records.*{records[1].image.digest.hex()[:16]}"
    ) as told:
        world.sync(device)
    assert THINGS not in str(told.value)
    assert held(device).keys() == {record.key for record in records} - {records[1].key}
    assert held(device, THINGS) == truth(world, THINGS)
    assert {one.gallery: one.verified for one in device.galleries()} == {PEOPLE: False, THINGS: True}
    assert [one.place for one in world.server.damages.standing()] == [str(lost)]
    assert world.served[-1].galleries[PEOPLE].tiers == ["snapshot", "reconcile"]
    assert "1 damaged images withheld" not in [e.detail for e in world.audit.entries() if e.gallery == THINGS]

    with pytest.raises(Corrupt, match="differs"):
        world.sync(device)
    assert world.served[-1].galleries[PEOPLE].tiers == ["reconcile"], "no snapshot each time"

    lost.write_bytes(content)  # restored from a backup: no change of the set tells it
    assert world.server.damages.standing() == []
    assert all(one.verified for one in world.sync(device).galleries) and held(device) == truth(world)


def test_a_device_that_has_a_good_copy_keeps_it_when_the_servers_is_damaged(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(4, size=1000)
    device = world.device()
    world.sync(device)
    whole = truth(world)
    hurt(world.set.image(next(world.set.records(PEOPLE)).image.digest).path, "altered")
    world.add(9, size=1000)
    assert world.sync(device).galleries[0].verified
    assert whole.items() <= held(device).items()
    assert not world.server.damages.standing(), "nobody asked for it"


def test_a_resumed_content_is_proven_before_its_rest_is_sent(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(1, size=1_000_000)
    device = world.device()
    with pytest.raises(ChannelClosed):
        world.sync(device, wrap=lambda inner: DyingChannel(inner, 12))
    image = next(world.set.records(PEOPLE)).image
    assert 0 < device.part(image).offset < image.size
    hurt(world.set.image(image.digest).path, "altered")
    with pytest.raises(Corrupt, match="1 records"):
        world.sync(device)
    assert world.served[-1].galleries[PEOPLE].content_bytes == 0


def hurt(path: Path, damage: str) -> None:
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
