from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.acquire.ports import Event
from isthmus.acquire.server import hub as hubs
from isthmus.acquire.server.hub import Hub
from isthmus.core.errors import Busy


class Events:
    """A ledger's events in a list."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self.reads: list[int] = []
        self.away = False

    def add(self, owner: str = "o", batch: str = "b", gap: int = 1) -> int:
        number = (self.all[-1].number if self.all else 0) + gap
        at = datetime(2026, 11, 20, tzinfo=UTC)
        self.all.append(Event(number, at, "done", batch, owner, number, f"r{number}", "video"))
        return number

    async def events(self, after: int, most: int, owner: str, batch: str) -> list[Event]:
        if self.away:
            raise Busy("the ledger is away")
        self.reads.append(after)
        await asyncio.sleep(0)
        found = [
            one for one in self.all if one.number > after and owner in ("", one.owner) and batch in ("", one.batch)
        ]
        return found[:most]

    async def latest(self) -> int:
        return self.all[-1].number if self.all else 0


def unheard(events: Sequence[Event]) -> None:
    pass


async def numbers_of(hub: Hub, owner: str, batch: str, after: int | None, count: int) -> list[int]:
    seen: list[int] = []
    with hub.watching(owner, batch, after) as watcher:
        while len(seen) < count:
            seen += [told.number for told in await watcher.next(5)]
    return seen


def test_everybody_gets_every_event_once_and_in_order() -> None:
    async def main() -> None:
        events = Events()
        hub = Hub(events, unheard, 0.05)
        await hub.start()
        watching = [
            asyncio.ensure_future(numbers_of(hub, owner, batch, None, count))
            for owner, batch, count in (("", "", 300), ("a", "", 150), ("", "x", 100), ("a", "x", 50)) * 3
        ]
        await asyncio.sleep(0)
        wanted: dict[tuple[str, str], list[int]] = {}
        for at in range(300):
            owner, batch = ("a", "b")[at % 2], ("x", "y", "z")[at % 3]
            number = events.add(owner, batch, 1 + at % 2)
            for key in (("", ""), (owner, ""), ("", batch), (owner, batch)):
                wanted.setdefault(key, []).append(number)
            if at % 7 == 0:
                hub.stir()
                await asyncio.sleep(0)
        hub.stir()
        found = await asyncio.gather(*watching)
        for place, key in enumerate((("", ""), ("a", ""), ("", "x"), ("a", "x")) * 3):
            assert found[place] == wanted[key]
        await hub.stop()

    asyncio.run(main())


def test_who_is_behind_the_memory_reads_the_ledger_and_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "KEPT", 50)
    monkeypatch.setattr(hubs, "_CHUNK", 16)

    async def main() -> None:
        events = Events()
        hub = Hub(events, unheard, 0.05)
        await hub.start()
        with hub.watching("", "", None) as slow, hub.watching("", "", None) as group_stays:
            for _ in range(400):
                events.add()
            hub.stir()
            assert await group_stays.next(5)
            seen: list[int] = []
            while len(seen) < 400:
                seen += [told.number for told in await slow.next(5)]
        assert seen == list(range(1, 401))
        assert len(hub._kept) == 50
        await hub.stop()

    asyncio.run(main())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 30), st.integers(1, 20))
def test_wherever_one_begins_nothing_is_missed_or_told_twice(
    before: int, after: int, kept: int, chunk: int
) -> None:
    async def main() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hubs, "KEPT", kept)
            patch.setattr(hubs, "_CHUNK", chunk)
            patch.setattr(hubs, "_LEAST_PAUSE_S", 0.0)
            events = Events()
            for _ in range(before):
                events.add()
            hub = Hub(events, unheard, 0.01)
            await hub.start()
            task = asyncio.ensure_future(numbers_of(hub, "", "", after, max(0, before + 30 - min(after, before))))
            for _ in range(30):
                events.add()
                hub.stir()
                await asyncio.sleep(0)
            assert await asyncio.wait_for(task, 60) == list(range(min(after, before) + 1, before + 31))
            await hub.stop()

    asyncio.run(main())


def test_chunks_are_joined_once_for_all_and_tell_the_same() -> None:
    async def main() -> None:
        events = Events()
        hub = Hub(events, unheard, 0.05)
        await hub.start()
        with hub.watching("", "", None) as one, hub.watching("", "", None) as two:
            for _ in range(3):
                events.add()
            hub.stir()
            first = await anext(one.chunks(5))
            second = await anext(two.chunks(5))
        assert first is second
        assert first.count(b"\n\n") == 3
        assert first.startswith(b"id: 1\nevent: done\ndata: {")
        await hub.stop()

    asyncio.run(main())


def test_what_comes_while_a_watcher_reads_the_ledger_is_pushed_at_once() -> None:
    class Slow(Events):
        """Answers watchers of a batch late, with what was there when they asked."""

        def __init__(self) -> None:
            super().__init__()
            self.asked, self.gate = asyncio.Event(), asyncio.Event()

        async def events(self, after: int, most: int, owner: str, batch: str) -> list[Event]:
            found = await super().events(after, most, owner, batch)
            if batch:
                self.asked.set()
                await self.gate.wait()
            return found

    async def main() -> None:
        events = Slow()
        events.add(batch="another")
        hub = Hub(events, unheard, 0.01)
        await hub.start()
        with hub.watching("", "b", 0) as watcher:
            chunk = asyncio.ensure_future(anext(watcher.chunks(600)))
            await events.asked.wait()
            number = events.add()
            while hub.head < number:
                hub.stir()
                await asyncio.sleep(0.001)
            events.gate.set()
            assert (await asyncio.wait_for(chunk, 60)).startswith(b"id: %d\n" % number)
        await hub.stop()

    asyncio.run(main())


def test_a_ledger_that_is_away_is_read_again_when_it_is_back() -> None:
    async def main() -> None:
        events = Events()
        hub = Hub(events, unheard, 0.01)
        await hub.start()
        events.away = True
        task = asyncio.ensure_future(numbers_of(hub, "", "", None, 1))
        while not hub.failure:
            hub.stir()
            await asyncio.sleep(0.001)
        number = events.add()
        events.away = False
        assert await asyncio.wait_for(task, 60) == [number]
        await hub.stop()

    asyncio.run(main())


def test_who_waits_is_let_go_at_the_end_and_groups_are_forgotten() -> None:
    async def main() -> None:
        hub = Hub(Events(), unheard, 0.05)
        await hub.start()

        async def watch() -> list[bytes]:
            with hub.watching("", "b", None) as watcher:
                return [chunk async for chunk in watcher.chunks(60)]

        task = asyncio.ensure_future(watch())
        while not hub.watchers:
            await asyncio.sleep(0)
        await hub.stop()
        assert await asyncio.wait_for(task, 60) == []
        assert hub._groups == {}

    asyncio.run(main())
