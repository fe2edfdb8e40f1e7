"""Who goes next: requests wait by server, and servers take turns, so that a slow one never holds up another.

Decisions with a given clock, no I/O. A server whose limits are used up stands aside until one of its requests
ends or its rate allows another; what waits for a server whose circuit breaker opens is handed back at once.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from isthmus.acquire.failure import Failure
from isthmus.acquire.fetch.limits import Gate

T = TypeVar("T")


class Lane(Generic[T]):
    """What waits for one server, with its limits."""

    __slots__ = ("gate", "listed", "name", "waiting")

    def __init__(self, name: object, gate: Gate) -> None:
        self.name = name
        self.gate = gate
        self.waiting: deque[T] = deque()
        self.listed = False
        """Whether it is in the ring or asleep until a time."""


class Turns(Generic[T]):
    """The lanes of all servers. Not for several threads at once."""

    def __init__(self, most_idle: int = 10_000) -> None:
        self._lanes: dict[object, Lane[T]] = {}
        self._ring: deque[Lane[T]] = deque()
        self._asleep: list[tuple[float, int, Lane[T]]] = []
        self._broken: list[tuple[T, Lane[T], float]] = []
        self._number = 0
        self._most_idle = most_idle
        self.waiting = 0

    def lane(self, name: object, gate: Callable[[], Gate]) -> Lane[T]:
        """Return the lane of a server; `gate` makes its limits where it is new."""
        lane = self._lanes.get(name)
        if lane is None:
            if len(self._lanes) >= self._most_idle:
                self._forget()
            lane = self._lanes[name] = Lane(name, gate())
        return lane

    def add(self, lane: Lane[T], item: T) -> None:
        """Let something wait for its turn."""
        lane.waiting.append(item)
        self.waiting += 1
        if not lane.listed:
            lane.listed = True
            self._ring.append(lane)

    def next(self, now: float, idle_only: bool = False) -> tuple[T, Lane[T]] | None:
        """Return what may begin now and count it as begun; None where nothing may.

        `idle_only` leaves out servers that have something running: for the last places, which would otherwise go
        to those that keep theirs longest.
        """
        passed: list[Lane[T]] = []
        try:
            return self._next(now, idle_only, passed)
        finally:
            self._ring.extend(passed)

    def _next(self, now: float, idle_only: bool, passed: list[Lane[T]]) -> tuple[T, Lane[T]] | None:
        while self._asleep and self._asleep[0][0] <= now:
            self._ring.append(heapq.heappop(self._asleep)[2])
        while self._ring:
            lane = self._ring.popleft()
            if idle_only and lane.gate.running and lane.waiting:
                passed.append(lane)
                continue
            lane.listed = False
            if not lane.waiting:
                continue
            if rest := lane.gate.breaker.rest_s(now):
                self._hand_back(lane, rest)
                continue
            wait = lane.gate.wait_s(now)
            if wait is None:
                continue  # comes back when a request of its own ends
            lane.listed = True
            if wait > 0:
                self._number += 1
                heapq.heappush(self._asleep, (now + wait, self._number, lane))
                continue
            item = lane.waiting.popleft()
            self.waiting -= 1
            lane.gate.begin()
            self._ring.append(lane)
            return item, lane
        return None

    def end(self, lane: Lane[T], failure: Failure | None, now: float) -> None:
        """Count something of a lane as ended: well, or with a failure."""
        lane.gate.end(failure, now)
        if rest := lane.gate.breaker.rest_s(now):
            self._hand_back(lane, rest)
        self._again(lane)

    def leave(self, lane: Lane[T]) -> None:
        """Count something of a lane as dropped."""
        lane.gate.leave()
        self._again(lane)

    def broken(self) -> list[tuple[T, Lane[T], float]]:
        """Hand over what waited for servers whose breaker is open, with the seconds until it may try."""
        found, self._broken = self._broken, []
        return found

    def take_out(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Remove and return what waits and fits."""
        found: list[T] = []
        for lane in self._lanes.values():
            if lane.waiting:
                gone = [item for item in lane.waiting if unwanted(item)]
                if gone:
                    lane.waiting = deque(item for item in lane.waiting if not unwanted(item))
                    found += gone
        self.waiting -= len(found)
        return found

    def wake_s(self, now: float) -> float | None:
        """Return in how many seconds a rate allows something to begin; None where only an end can."""
        if self._ring:
            return 0.0
        return max(0.0, self._asleep[0][0] - now) if self._asleep else None

    def lanes(self) -> Iterator[Lane[T]]:
        """Show all lanes, for those who count."""
        yield from self._lanes.values()

    def _again(self, lane: Lane[T]) -> None:
        if lane.waiting and not lane.listed:
            lane.listed = True
            self._ring.append(lane)

    def _hand_back(self, lane: Lane[T], rest: float) -> None:
        self._broken += [(item, lane, rest) for item in lane.waiting]
        self.waiting -= len(lane.waiting)
        lane.waiting.clear()

    def _forget(self) -> None:
        idle = [
            name for name, lane in self._lanes.items() if not (lane.waiting or lane.gate.running or lane.listed)
        ]
        for name in idle[: self._most_idle // 2]:
            del self._lanes[name]
