"""Whatever happened to the set, the channel, the policy and the epoch: a session that ends makes both equal."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from gallery_doubles import PEOPLE, DyingChannel, World, held, key, scene, truth
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.transfer.channel import ChannelClosed

numbers = st.integers(0, 12)
steps = st.one_of(
    st.tuples(st.just("put"), numbers, st.integers(0, 3)),
    st.tuples(st.just("remove"), numbers, st.just(0)),
    st.tuples(st.just("cut"), st.integers(0, 12), st.just(0)),
    st.tuples(st.just("sync"), st.just(0), st.just(0)),
    st.tuples(st.just("renew"), st.just(0), st.just(0)),
    st.tuples(st.just("forget"), st.just(0), st.just(0)),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
    st.tuples(st.just("mode"), st.integers(0, 3), st.just(0)),
)


def does(world: World, device, step: tuple[str, int, int]) -> None:
    name, number, salt = step
    match name:
        case "put":
            world.add(number, salt=str(salt), size=100 + 70_000 * (salt == 3), vectors=True)
        case "remove":
            if key(number) in world.set.keys(PEOPLE):
                world.set.remove(PEOPLE, number)
        case "cut":
            try:
                world.sync(device, wrap=lambda inner: DyingChannel(inner, number))
            except ChannelClosed:
                return
        case "sync":
            world.sync(device)
        case "renew":
            world.epochs.renew(PEOPLE)
        case "forget":
            world.set.forgotten = world.set.change(PEOPLE)
        case "restart":
            world.restart()
        case "mode":
            world.policy.table = {PEOPLE: list(Mode)[number]} if number < 3 else {}


@settings(max_examples=examples(15), deadline=None)
@given(st.lists(steps, min_size=1, max_size=12))
def test_after_any_history_a_session_makes_device_and_server_equal(history: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.policy.table = {PEOPLE: Mode.IMAGES}
        device = world.device()
        for step in history:
            does(world, device, step)
        report = world.sync(device)
        assert all(found.verified for found in report.galleries)
        table = world.policy.table or {}
        if PEOPLE not in table:
            assert not device.galleries()
        elif table[PEOPLE].images:
            assert held(device) == truth(world)
        else:
            assert {item.key for _, item in device.items(PEOPLE)} == world.set.keys(PEOPLE)
        used = {
            device.contents.name(item.image.digest)
            for found in device.galleries()
            for _, item in device.items(found.gallery)
            if item.image
        }
        assert {file.name for file in (Path(folder) / "device" / "content").glob("??/*")} == used
        device.close()
        world.store.close()


def test_the_embedded_store_is_served_by_every_tier(tmp_path: Path) -> None:
    world = World(tmp_path)
    galleries = SqliteSet(world.store, tmp_path / "set", "people", check=False)
    inner = InnerSite(galleries, world.audit._clock, "ann")
    world.set = galleries  # type: ignore[assignment]
    world.restart()
    device = world.device()
    for number in range(40):
        inner.add(PEOPLE, f"p{number}", scene(number), {"name": f"person {number}"})
    assert world.sync(device).galleries[0].tiers == [Tier.SNAPSHOT]
    assert held(device) == truth(world) and len(truth(world)) == 40
    inner.remove(PEOPLE, "p3")
    inner.replace(PEOPLE, "p4", scene(100), {})
    inner.add(PEOPLE, "p99", scene(99), {})
    report = world.sync(device)
    assert report.galleries[0].tiers == [Tier.CHANGES] and held(device) == truth(world)
    assert (report.galleries[0].written, report.galleries[0].removed) == (2, 1)
    world.epochs.renew(PEOPLE)
    world.restart()
    inner.remove(PEOPLE, "p5")
    report = world.sync(device)
    assert report.galleries[0].tiers == [Tier.RECONCILE] and held(device) == truth(world)
    assert (report.galleries[0].written, report.galleries[0].removed) == (0, 1)
    assert world.sync(device).galleries[0].tiers == [Tier.EQUAL]
