"""Requests and results as bundles through gate folders: whole sites, and a gatekeeper as bad as any."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from acquire_faults import Watch, asked, events_of, judge, lines_of, pictures
from acquire_gates import ASK, GOT, Gated, Gatekeeper
from acquire_sites import Hub, Storage, running
from gallery_sites import until
from isthmus.acquire.states import State

COUNT = 30


class Scene:
    """A server, an environment beyond a gate with its storage server, and pictures there."""

    def __init__(self, folder: Path) -> None:
        self.storage = Storage(folder / "store")
        self.contents = pictures(self.storage.folder, 4 * COUNT)
        self.hub = Hub(folder / "hub", "poll_s = 0.2")
        self.gated = Gated(self.hub, "north", self.storage.allow)
        self.keeper = Gatekeeper(self.gated.roads)
        self._names = iter(self.contents)

    def asked(self) -> tuple[str, Watch]:
        """Ask for pictures that nobody asked for before, and watch."""
        names = list(itertools.islice(self._names, COUNT))
        batch = self.hub.ask(asked(self.storage.url, names, "north"))
        return batch, Watch(self.hub.client(), batch)

    def done(self, batch: str) -> int:
        return len(lines_of(self.hub, batch, State.DONE))

    def all_came(self, batch: str, watch: Watch) -> None:
        """Prove that all images came, each once and whole, and that the client was told of each once."""
        assert self.hub.ended(batch) == {"done": COUNT}
        assert judge(self.hub, batch, self.contents, watch) == {"done": COUNT}
        watch.stop()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("gated"))
    with running(made.hub, made.storage, made.gated.office, made.gated.agent), made.keeper.at_work():
        yield made
        assert [made.gated.office.end(), made.gated.agent.end()] == [0, 0]


@pytest.fixture
def scene(built: Scene) -> Scene:
    until(built.gated.quiet, "nothing is on its way")
    return built


def increment(name: str) -> bool:
    return name.endswith(".tar") and name.count(".") == 1


def test_what_comes_late_twice_out_of_order_or_only_when_asked_again_comes_once(scene: Scene) -> None:
    dropped: set[str] = set()

    def way(road: str, name: str, before: int) -> int:
        if increment(name) and before == 0 and road not in dropped:
            dropped.add(road)
            return 0
        return 2

    gated, keeper = scene.gated, scene.keeper
    with keeper.behaving(way, late=True):
        batch, watch = scene.asked()
        until(lambda: gated.alarms(ASK)["GAP"], "the agent's side misses requests")
        assert scene.done(batch) == 0, "of what follows a gap nothing is applied"
        assert gated.ask_again(ASK)
        until(lambda: gated.alarms(GOT)["GAP"], "the server's side misses results")
        assert scene.done(batch) == 0
        assert gated.ask_again(GOT)
        scene.all_came(batch, watch)
        until(lambda: not gated.alarms(ASK) and not gated.alarms(GOT), "the alarms are cleared")
        assert Counter(road for road, _ in keeper.lost) == {ASK: 1, GOT: 1}
        assert max(Counter(keeper.copied).values()) >= 2
    said = {"office begins", "gate alarm", "delivered"}
    until(lambda: {line["event"] for line in gated.office.told()} >= said, "the office has said so")


@pytest.mark.parametrize("victim", ["office", "agent"])
def test_killed_in_the_middle_either_side_goes_on_and_all_images_come_once(scene: Scene, victim: str) -> None:
    gated, open_ = scene.gated, threading.Event()
    seen: set[str] = set()

    def way(road: str, name: str, before: int) -> int:
        """Let three bundles of results through, and the rest only later."""
        if road == GOT and increment(name) and not open_.is_set():
            seen.add(name)
            return 1 if name in sorted(seen)[:3] else 0
        return 1

    with scene.keeper.behaving(way):
        batch, watch = scene.asked()
        until(lambda: scene.done(batch), "the first images come")
        killed = gated.office if victim == "office" else gated.agent
        killed.kill()
        assert 0 < scene.done(batch) < COUNT
        open_.set()
        killed.start()
        until(lambda: gated.status(GOT).missing or scene.done(batch) == COUNT, "the gap shows")
        gated.ask_again(GOT)
        scene.all_came(batch, watch)


def test_a_bundle_that_was_changed_is_set_aside_and_nothing_of_it_counts(scene: Scene) -> None:
    gated = scene.gated
    hurt: list[str] = []
    before = gated.status(GOT).standing

    def change(road: str, name: str, content: bytes) -> bytes:
        if road == GOT and increment(name) and not hurt:
            hurt.append(name)
            middle = len(content) // 2
            return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        return content

    with scene.keeper.behaving(hurt=change):
        batch, watch = scene.asked()
        until(lambda: gated.alarms(GOT)["TAMPERED"], "the alarm is raised")
        status = gated.status(GOT)
        assert [one.unit for one in status.quarantined] == hurt
        assert status.standing == before
        assert scene.done(batch) == 0 and events_of(scene.hub, batch) == []
        until(lambda: gated.status(GOT).missing, "it is missing now")
        assert gated.ask_again(GOT)
        scene.all_came(batch, watch)
        until(lambda: not gated.alarms(GOT), "the true file clears the alarm")
    said = {"event": "gate alarm", "about": "TAMPERED", "level": "error"}
    until(lambda: any(said.items() <= line.items() for line in gated.office.told()), "the office has said so")
