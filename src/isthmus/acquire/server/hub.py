"""Push: one reader of the ledger's events serves everybody who watches.

Each event is encoded once. Watchers of the same things form a group, whose events of one round are joined once
and handed to all of them. A round begins the moment an event is there; the next one waits for as long as handing
out the last one took (10 to 100 ms), so events go together under load and at once when little happens. A watcher
holds nothing but its place: whoever is behind what the hub keeps reads the ledger, page by page.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from isthmus.acquire.ports import Event
from isthmus.core.errors import Busy, IsthmusError

KEPT = 20_000
"""So many of the newest events are kept in memory."""
_PAGE, _PAGES = 1000, 5
_CHUNK = 256
"""So many events go to a watcher in one piece."""
_MOST_JOINED = 16
_TICK_S = 0.5
_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.01, 0.1

_ENCODER = msgspec.json.Encoder()


class Reading(Protocol):
    """What the hub reads of a ledger, off the event loop."""

    async def events(self, after: int, most: int, owner: str, batch: str) -> list[Event]:
        """As the ledger's `events`."""
        ...

    async def latest(self) -> int:
        """As the ledger's `latest`."""
        ...


class Told:
    """An event in the form in which it travels, made once, when it is first needed."""

    __slots__ = ("_block", "_event", "number")

    def __init__(self, event: Event) -> None:
        self.number = event.number
        self._event: Event | None = event
        self._block = b""

    @property
    def sse(self) -> bytes:
        """The event as a block of text/event-stream (HTML Living Standard, 9.2)."""
        if self._event is not None:
            encoded, kind = _ENCODER.encode(self._event), self._event.kind.encode()
            self._block = b"id: %d\nevent: %s\ndata: %s\n\n" % (self.number, kind, encoded)
            self._event = None  # the bytes say it all, and are smaller
        return self._block

    @property
    def json(self) -> bytes:
        """The event as JSON."""
        block = self.sse
        return block[block.index(b"\ndata: ") + 7 : -2]


@dataclass(slots=True)
class _Group:
    """Watchers of one owner and batch. Every event after `base` that concerns them is in `told`, in order."""

    base: int
    watchers: int = 0
    told: list[Told] = field(default_factory=list)
    waiting: list[tuple[float, asyncio.Future[bool]]] = field(default_factory=list)
    joined: dict[int, tuple[bytes, int]] = field(default_factory=dict)

    def wake(self) -> None:
        """Say to all that there is something."""
        self.joined.clear()
        waiting, self.waiting = self.waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_result(True)

    def tire(self, now: float) -> None:
        """Let those go on who have waited long enough."""
        for until, future in self.waiting:
            if until <= now and not future.done():
                future.set_result(False)
        self.waiting = [(until, future) for until, future in self.waiting if not future.done()]

    def trim(self, floor: int) -> None:
        if self.told and self.told[0].number <= floor:
            self.told = [one for one in self.told if one.number > floor]
        self.base = max(self.base, floor)


class Watcher:
    """One client's place in the stream. `after` is the number of the last event that it was handed or passed."""

    def __init__(self, hub: Hub, group: _Group, owner: str, batch: str, after: int) -> None:
        self._hub, self._group, self._owner, self._batch = hub, group, owner, batch
        self.after = after

    async def chunks(self, heartbeat_s: float) -> AsyncIterator[bytes]:
        """Yield blocks of text/event-stream until the hub ends; an empty one when nothing came for a while."""
        while not self._hub.closed:
            if self.after < self._group.base:
                if found := await self._page():
                    yield b"".join(one.sse for one in found)
            elif ready := self._joined():
                yield ready
            elif not await self._wait(heartbeat_s):
                yield b""

    async def next(self, wait_s: float) -> Sequence[Told]:
        """Return what comes next, at most a chunk; empty when nothing came for a while."""
        until = asyncio.get_running_loop().time() + wait_s
        while not self._hub.closed:
            if self.after >= self._group.base:
                if found := self._take():
                    return found
                left = until - asyncio.get_running_loop().time()
                if left <= 0 or not await self._wait(left):
                    return []
            elif found := await self._page():
                return found
        return []

    def _take(self) -> Sequence[Told]:
        told = self._group.told
        begin = bisect_right(told, self.after, key=lambda one: one.number)
        found = told[begin : begin + _CHUNK]
        if found:
            self.after = found[-1].number
        return found

    def _joined(self) -> bytes | None:
        """Return what is new, joined once for all who stand at the same place; None where nothing is."""
        known = self._group.joined.get(self.after)
        if known is None:
            before = self.after
            found = self._take()
            if not found:
                return None
            known = b"".join(one.sse for one in found), self.after
            if len(self._group.joined) < _MOST_JOINED:
                self._group.joined[before] = known
        self.after = known[1]
        return known[0]

    async def _page(self) -> Sequence[Told]:
        """Read the ledger from where this watcher stands; at its end it stands where the hub stood before."""
        head = self._hub.head
        found = [Told(one) for one in await self._hub.read(self.after, _CHUNK, self._owner, self._batch)]
        if found:
            self.after = found[-1].number
        if len(found) < _CHUNK:
            self.after = max(self.after, head)
        return found

    async def _wait(self, for_s: float) -> bool:
        """Wait for news; tell whether there are any. One timer for all: a client more costs no timer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._group.waiting.append((loop.time() + for_s, future))
        return await future


class Hub:
    """Reads events once and hands them to many. Belongs to the event loop that started it."""

    def __init__(self, reading: Reading, saw: Callable[[Sequence[Event]], None], poll_s: float) -> None:
        """Read by `reading`; `saw` is told every event once; `poll_s` is how often it looks without being told."""
        self._reading, self._saw, self._poll_s = reading, saw, poll_s
        self.head = 0
        self._groups: dict[tuple[str, str], _Group] = {}
        self._kept: deque[int] = deque()
        self._stirred = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.failure = ""
        self.closed = False

    @property
    def watchers(self) -> int:
        """How many watch."""
        return sum(group.watchers for group in self._groups.values())

    async def start(self) -> None:
        """Begin after the latest event. Raises what the ledger raises."""
        self.head = await self._reading.latest()
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._tire())]

    async def stop(self) -> None:
        """Stop reading; let all watchers end."""
        self.closed = True
        for group in self._groups.values():
            group.wake()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tire(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = asyncio.get_running_loop().time()
            for group in self._groups.values():
                group.tire(now)

    def stir(self) -> None:
        """Say that there may be events."""
        self._stirred.set()

    def read(self, after: int, most: int, owner: str, batch: str) -> Awaitable[list[Event]]:
        """Read the ledger for a watcher that is behind."""
        return self._reading.events(after, most, owner, batch)

    @contextlib.contextmanager
    def watching(self, owner: str, batch: str, after: int | None) -> Iterator[Watcher]:
        """Watch what concerns an owner and a batch (empty: all), after an event or, with None, from now on."""
        group = self._groups.get((owner, batch))
        if group is None:
            group = self._groups[owner, batch] = _Group(self.head)
        group.watchers += 1
        try:
            yield Watcher(self, group, owner, batch, self.head if after is None else min(after, self.head))
        finally:
            group.watchers -= 1
            if not group.watchers:
                del self._groups[owner, batch]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._stirred.wait()
            self._stirred.clear()
            begun = loop.time()
            try:
                came = await self._round()
                self.failure = ""
            except (IsthmusError, OSError) as error:  # the ledger is away for a while: it is read again
                self.failure = str(error)
                await asyncio.sleep(self._poll_s if isinstance(error, Busy) else 1.0)
                continue
            if came:
                await asyncio.sleep(0)  # everybody who was woken runs before this goes on
                took = loop.time() - begun
                await asyncio.sleep(min(_MOST_PAUSE_S, max(_LEAST_PAUSE_S, took)))

    async def _round(self) -> bool:
        """Read what is new, then wake everybody whom it concerns; tell whether there was something."""
        woken: dict[int, _Group] = {}
        begun = self.head
        try:
            for _ in range(_PAGES):
                events = await self._reading.events(self.head, _PAGE, "", "")
                if events:
                    self._take(events, woken)
                if len(events) < _PAGE:
                    break
            else:
                self.stir()  # there is more
        finally:  # also where the ledger went away between two pages
            for group in woken.values():
                group.wake()
        return self.head > begun

    def _take(self, events: Sequence[Event], woken: dict[int, _Group]) -> None:
        """Keep events, in the groups that they concern."""
        self._saw(events)
        groups = self._groups
        for event in events if groups else ():
            told, owner, batch = Told(event), event.owner, event.batch
            for key in (("", ""), (owner, ""), ("", batch), (owner, batch)):
                if (group := groups.get(key)) is not None:
                    group.told.append(told)
                    woken[id(group)] = group
        self.head = events[-1].number
        self._kept.extend(event.number for event in events)
        floor = 0
        while len(self._kept) > KEPT:
            floor = self._kept.popleft()
        for group in groups.values() if floor else ():
            group.trim(floor)
