"""A worker process of filing: takes batches from a socket, answers when their images are durable.

While the disk syncs, on a thread of its own, further batches are examined and written; together they become the
next group, so that however many images come, the disk is asked to sync once at a time. Names of a group are made
durable by the sync of the next one.

Memory is limited by the operating system (RLIMIT_AS). Before an image is touched, its place is written into a
small shared file, so that the pool knows of whom a worker died. The end of the pool is the end of the worker.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import queue
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from isthmus.acquire import heap
from isthmus.acquire.failure import Failure
from isthmus.acquire.filing import thumbnails
from isthmus.acquire.filing.arena import shared
from isthmus.acquire.filing.contents import Contents, Entry, Sync
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing.wire import (
    MARK,
    Answer,
    Batch,
    Drawing,
    Outcome,
    decode_order,
    encode,
    frame,
    receive,
)
from isthmus.acquire.filing.work import Draft, Examiner, Seen
from isthmus.acquire.image import Arrived, Filed
from isthmus.core.errors import IsthmusError

_MOST_WAITING = 64 << 20
"""So many bytes may wait for the disk; then decoding waits."""
_TOGETHER = 64
"""Batches that wait are examined together, until they hold so many images."""
_APART_S = 0.03
"""A sync costs about as much whatever is synced: under load images wait for each other."""


class Examines(Protocol):
    """Looks at images, and says what is to be stored of them."""

    def look(self, arrived: Arrived) -> Seen | Failure:
        """Check and decode one."""
        ...

    def hashed(self, seen: Sequence[Seen | Failure]) -> list[Seen | Failure]:
        """Add the perceptual hashes of those that were decoded."""
        ...

    def draft(self, arrived: Arrived, seen: Seen) -> Draft | Failure:
        """Place and name it."""
        ...


class Start(msgspec.Struct, frozen=True):
    """What the pool hands a worker at its start. `connection` and `marker` are inherited handles."""

    rules: FilingRules
    connection: int
    marker: int
    arena: int = -1
    draws: bool = False


@dataclass(slots=True)
class _Examined:
    """A batch whose images were looked at. `entries` are to be stored, at the places where `outcomes` has None."""

    number: int
    outcomes: list[Filed | Failure | None]
    entries: list[Entry]

    def answer(self) -> Answer:
        entries = iter(self.entries)
        done = [next(entries).outcome if outcome is None else outcome for outcome in self.outcomes]
        return Answer(
            self.number,
            [Outcome(failure=one) if isinstance(one, Failure) else Outcome(filed=one) for one in done],
        )


class Syncing:
    """Syncs on a thread of its own, once at a time. `done` can be read from as soon as a sync has ended."""

    def __init__(self, sync: Sync) -> None:
        self._sync = sync
        self._asked: queue.SimpleQueue[tuple[list[str], list[str]] | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self.done, self._tell = os.pipe2(os.O_CLOEXEC)
        threading.Thread(target=self._run, name="sync", daemon=True).start()

    def begin(self, files: list[str], folders: list[str]) -> None:
        """Begin to sync."""
        self._asked.put((files, folders))

    def result(self) -> OSError | None:
        """Wait for the end of the sync that was begun; return what went wrong."""
        os.read(self.done, 1)
        return self._error

    def close(self) -> None:
        """End the thread."""
        self._asked.put(None)

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            self._error = None
            try:
                self._sync(*asked)
            except OSError as error:
                self._error = error
            os.write(self._tell, b"\0")


class Shelf:
    """Stores examined batches in groups; each is answered when it is durable.

    All but syncing happens on the caller's thread: two threads that both make many short system calls take turns
    at the interpreter, and wait for each other more than they work. While the disk syncs nothing is written, as a
    journalling file system would let it wait; decoding goes on. Syncs begin `_APART_S` apart, but for one that
    somebody alone waits for.
    """

    def __init__(self, contents: Contents, answer: Callable[[Sequence[Answer]], None]) -> None:
        self._contents = contents
        self._answer = answer
        self._syncing = Syncing(contents.sync)
        self._unwritten: list[_Examined] = []
        self._written: list[_Examined] = []
        self._begun = float("-inf")
        self._under_way: tuple[list[_Examined], list[_Examined]] | None = None
        self._published: list[_Examined] = []
        self._waiting = 0

    @property
    def done(self) -> int:
        """A handle that can be read from when `advance` has something to do."""
        return self._syncing.done

    @property
    def full(self) -> bool:
        """Tell whether so much waits for the disk that nothing more should be examined."""
        return self._waiting > _MOST_WAITING

    @property
    def rest_s(self) -> float | None:
        """Tell after how many seconds `begin` is to be called; None: not before `advance`."""
        if self._under_way is not None or not (self._written or self._published):
            return None
        return max(0.0, self._begun + _APART_S - time.monotonic())

    def put(self, examined: list[_Examined]) -> None:
        """Take batches; they are written, and answered, later."""
        self._waiting += sum(len(entry.draft.content) for entry in _entries(examined))
        self._unwritten += examined
        if self._under_way is None:
            self._write()

    def advance(self) -> None:
        """Go on after a sync: answer what is durable, name what was written, and sync again."""
        assert self._under_way is not None
        written, published = self._under_way
        error = self._syncing.result()
        entries = _entries(written)
        if error is not None:
            self._contents.fail([*entries, *_entries(published)], error)
        self._answer([examined.answer() for examined in published])
        self._contents.publish(entries)
        self._waiting -= sum(len(entry.draft.content) for entry in entries)
        self._published = written
        self._under_way = None
        if self._published and not self._unwritten:
            self.begin()  # nothing else goes on: whoever waits for these waits for this alone
        else:
            self._write()

    def close(self) -> None:
        """Store and answer what waits, and end."""
        while self._under_way is not None or self._written or self._published:
            if self._under_way is None:
                self.begin()
            self.advance()
        self._syncing.close()
        self._contents.close()

    def _write(self) -> None:
        for examined in self._unwritten:
            self._contents.write(examined.entries)
        self._written += self._unwritten
        self._unwritten = []
        if self.rest_s == 0.0:
            self.begin()

    def begin(self) -> None:
        """Begin to sync what was written and named."""
        self._begun = time.monotonic()
        self._under_way = self._written, self._published
        self._written, self._published = [], []
        self._syncing.begin(*self._contents.unsynced(_entries(self._under_way[0])))


def _count(batches: Sequence[tuple[Batch, memoryview]]) -> int:
    return sum(len(batch.items) for batch, _ in batches)


def _entries(group: list[_Examined]) -> list[Entry]:
    return [entry for examined in group for entry in examined.entries]


class Worker:
    """Does the orders that come over a connection until its other end closes."""

    def __init__(self, start: Start, examiner: Examines | None = None) -> None:
        self._rules = start.rules
        self._connection = socket.socket(fileno=start.connection)
        self._marker = mmap.mmap(start.marker, MARK.size)
        self._sending = threading.Lock()
        self._arena = shared(start.arena) if start.arena >= 0 else memoryview(b"")
        self._draws = start.draws
        self._examiner = examiner

    def run(self) -> None:
        """Say that the worker is ready, or why it cannot work; then work."""
        try:
            shelf = None if self._draws else self._prepared()
        except (IsthmusError, OSError) as error:
            self._answer([Answer(0, error=str(error))])
            return
        self._answer([Answer(0)])
        try:
            self._serve(shelf)
        finally:
            if shelf is not None:
                shelf.close()

    def _serve(self, shelf: Shelf | None) -> None:
        handles = [self._connection.fileno()]
        while True:
            if shelf is not None:
                wanted = [shelf.done] if shelf.full else [*handles, shelf.done]
                readable, _, _ = select.select(wanted, (), (), shelf.rest_s)
                if shelf.rest_s == 0.0:
                    shelf.begin()
                if shelf.done in readable:
                    shelf.advance()
                if handles[0] not in readable:
                    continue
            batches: list[tuple[Batch, memoryview]] = []
            while not batches or (_count(batches) < _TOGETHER and select.select(handles, (), (), 0)[0]):
                came = receive(self._connection)
                order = decode_order(came[0]) if came is not None else None
                if came is None or not isinstance(order, Batch):
                    break
                batches.append((order, memoryview(came[1]) if order.at < 0 else self._arena[order.at :]))
            if shelf is not None and batches:
                shelf.put(self._examined(batches))
            if order is None:
                return
            if isinstance(order, Drawing):
                self._answer([self._drawn(order)])

    def _prepared(self) -> Shelf:
        if self._examiner is None:
            from isthmus.imaging.place import places

            places()
            self._examiner = Examiner(self._rules)
        return Shelf(Contents(self._rules.folder), self._answer)

    def _examined(self, batches: Sequence[tuple[Batch, memoryview]]) -> list[_Examined]:
        """Look at all images of some batches, then hash all, then draft all.

        An image is copied out of the shared memory when it is looked at, not before: it is in the caches then.
        """
        assert self._examiner is not None
        places: list[tuple[int, int]] = []
        arrived: list[Arrived] = []
        looked: list[Seen | Failure] = []
        for batch, body in batches:
            at = 0
            for place, item in enumerate(batch.items):
                places.append((batch.number, place))
                self._mark(*places[-1])
                content = Path(item.file) if item.file else bytes(body[at : at + item.size])
                at += 0 if item.file else item.size
                one = Arrived(item.request, item.environment, item.wish, content, item.digest, item.told)
                arrived.append(one)
                looked.append(self._examiner.look(one))
        self._mark(0, 0)
        examined = {batch.number: _Examined(batch.number, [], []) for batch, _ in batches}
        for (number, place), one, found in zip(places, arrived, self._examiner.hashed(looked), strict=True):
            self._mark(number, place)
            drafted = found if isinstance(found, Failure) else self._examiner.draft(one, found)
            whole = examined[number]
            if isinstance(drafted, Draft):
                whole.entries.append(Entry(drafted))
                whole.outcomes.append(None)
            else:
                whole.outcomes.append(drafted)
        self._mark(0, 0)
        return list(examined.values())

    def _mark(self, batch: int, place: int) -> None:
        """Note at which image of which batch the worker is; batch 0: at none."""
        MARK.pack_into(self._marker, 0, batch, place)

    def _drawn(self, order: Drawing) -> Answer:
        self._mark(order.number, 0)
        try:
            thumbnails.draw(Path(order.source), Path(order.target), order.edge, self._rules.limits)
        except IsthmusError as error:
            return Answer(order.number, error=error.what)
        except MemoryError:
            return Answer(order.number, error="drawing the image needs more memory than a worker has")
        except OSError as error:
            return Answer(order.number, error=f"the thumbnail cannot be written: {error.strerror or error}")
        finally:
            self._mark(0, 0)
        return Answer(order.number)

    def _answer(self, answers: Sequence[Answer]) -> None:
        with self._sending, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(b"".join([frame(encode(answer)) for answer in answers]))


def main(examiner: Examines | None = None) -> None:
    """Work for the pool that started this process; what it hands over is the one argument, as JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the pool, which ends its workers
    start = msgspec.json.decode(sys.argv[1], type=Start)
    limit = start.rules.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    heap.keep()
    if start.draws:
        os.nice(5)
    Worker(start, examiner).run()


if __name__ == "__main__":
    main()
