"""What an agent has in hand: tasks that wait, tasks being fetched, results that wait, results on their way.

No I/O; times are seconds of any clock that never jumps. Whoever changes it holds its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from isthmus.acquire.delivery.package import MOST_ITEMS, MOST_TOGETHER, travels_alone
from isthmus.acquire.failure import Failure
from isthmus.acquire.ports import Got, Held, Parcel, Task


class Holding:
    """The tasks and results of one agent. Every task is in exactly one place until it is done or lost."""

    def __init__(self, gather_s: float) -> None:
        self._gather_s = gather_s
        self.waiting: deque[Task] = deque()
        self.fetching: dict[int, Task] = {}
        self._ready: deque[tuple[float, Parcel]] = deque()
        self._alone: deque[tuple[float, Parcel]] = deque()
        self._going: dict[Held, None] = {}
        self._keys = 0
        self.bytes = 0
        """Of content in memory, on its way included."""

    def took(self, tasks: Iterable[Task]) -> None:
        """Hold tasks that were claimed."""
        self.waiting.extend(tasks)

    def begin(self, room: int) -> list[tuple[int, Task]]:
        """Move up to `room` waiting tasks to being fetched; return them with new keys."""
        begun = []
        for _ in range(min(room, len(self.waiting))):
            self._keys += 1
            task = self.fetching[self._keys] = self.waiting.popleft()
            begun.append((self._keys, task))
        return begun

    def came(self, results: Iterable[tuple[int, Got | Failure]], now: float) -> list[Got]:
        """Take results; return those that nobody wants any more."""
        unwanted = []
        for key, outcome in results:
            task = self.fetching.pop(key, None)
            if task is not None:
                self._put(Parcel(task, outcome), now)
            elif isinstance(outcome, Got):
                unwanted.append(outcome)
        return unwanted

    def adopt(self, parcels: Sequence[Parcel]) -> None:
        """Hold results that came from elsewhere, each to be delivered by itself."""
        for parcel in parcels:
            self._put(parcel, float("-inf"), alone=True)

    def back(self, parcels: Sequence[Parcel], *, alone: bool = False) -> None:
        """Take results back that could not be delivered; they go first. `alone`: each by itself from now on."""
        for parcel in reversed(parcels):
            self._going.pop(held_of(parcel), None)
            self.bytes -= weight(parcel)
            self._put(parcel, float("-inf"), first=True, alone=alone)

    def group(self, now: float) -> list[Parcel]:
        """Return what is to be delivered next: one large result, or small ones; empty where none is due.

        Small ones are due once they fill a delivery, the first has waited `gather_s`, or no more is coming.
        """
        if self._alone and (not self._ready or self._alone[0][0] <= self._ready[0][0]):
            return self._go([self._alone.popleft()[1]])
        if not self._ready:
            return []
        count = size = 0
        for _, parcel in self._ready:
            size += weight(parcel)
            if count == MOST_ITEMS or size > MOST_TOGETHER:
                break
            count += 1
        full = count == MOST_ITEMS or count < len(self._ready)
        if not full and self.fetching and now - self._ready[0][0] < self._gather_s:
            return self._go([self._alone.popleft()[1]]) if self._alone else []
        return self._go([self._ready.popleft()[1] for _ in range(count)])

    def done(self, parcels: Iterable[Parcel]) -> list[Path]:
        """Forget results that were delivered or went to the disk; return the files of large ones."""
        files = []
        for parcel in parcels:
            self._going.pop(held_of(parcel), None)
            self.bytes -= weight(parcel)
            if isinstance(parcel.outcome, Got) and isinstance(parcel.outcome.content, Path):
                files.append(parcel.outcome.content)
        return files

    def lost(self, held: Iterable[Held]) -> list[int]:
        """Drop tasks that are somebody else's now, as far as nothing came yet; return the keys of what to stop."""
        gone = frozenset(held)
        self.waiting = deque(task for task in self.waiting if Held(task.request, task.fence) not in gone)
        keys = [key for key, task in self.fetching.items() if Held(task.request, task.fence) in gone]
        for key in keys:
            del self.fetching[key]
        return keys

    def give_up(self) -> list[Held]:
        """Drop what was not begun; return it, to be given back."""
        given = [Held(task.request, task.fence) for task in self.waiting]
        self.waiting.clear()
        return given

    def stop_fetching(self) -> tuple[list[int], list[Held]]:
        """Drop what is being fetched; return the keys, and the tasks to be given back."""
        keys = list(self.fetching)
        given = [Held(task.request, task.fence) for task in self.fetching.values()]
        self.fetching.clear()
        return keys, given

    def held(self) -> list[Held]:
        """List all that is held, for a heartbeat."""
        tasks = [*self.waiting, *self.fetching.values()]
        parcels = [parcel for _, parcel in (*self._ready, *self._alone)]
        return [
            *(Held(task.request, task.fence) for task in tasks),
            *(held_of(parcel) for parcel in parcels),
            *self._going,
        ]

    @property
    def count(self) -> int:
        """How many tasks are held in all."""
        return len(self.waiting) + len(self.fetching) + self.unsent + len(self._going)

    @property
    def unsent(self) -> int:
        """How many results wait to be delivered."""
        return len(self._ready) + len(self._alone)

    @property
    def going(self) -> int:
        """How many results are on their way."""
        return len(self._going)

    def _put(self, parcel: Parcel, now: float, *, first: bool = False, alone: bool = False) -> None:
        self.bytes += weight(parcel)
        queue = self._alone if alone or travels_alone(parcel.outcome) else self._ready
        if first:
            queue.appendleft((now, parcel))
        else:
            queue.append((now, parcel))

    def _go(self, parcels: list[Parcel]) -> list[Parcel]:
        self._going.update((held_of(parcel), None) for parcel in parcels)
        return parcels


def held_of(parcel: Parcel) -> Held:
    """Return the request and the fence of a result."""
    return Held(parcel.task.request, parcel.task.fence)


def weight(parcel: Parcel) -> int:
    """Return how many bytes of memory the content of a result takes."""
    outcome = parcel.outcome
    return outcome.size if isinstance(outcome, Got) and isinstance(outcome.content, bytes) else 0
