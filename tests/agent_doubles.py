"""A server's ledger in memory with the rules of the contract, a desk at it, and a fetcher that invents content."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from blake3 import blake3

from isthmus.acquire.delivery.package import Content, Part, pack, unpack
from isthmus.acquire.delivery.receiving import Receiving
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.ports import Claimed, Got, Held, Order, Parcel, Task, Verdict
from isthmus.core.errors import Busy

CALLBACK = "http://127.0.0.1:1/v1/deliveries/token"


class Ledgerlet:
    """Requests 1 to n. `filed` and `failed` count how often an end was counted: never more than once."""

    def __init__(self, count: int = 0, lease_s: float = 60.0) -> None:
        self.lock = threading.Condition()
        self.lease_s = lease_s
        self.queued: list[int] = []
        self.fences: dict[int, int] = {}
        self.leased: dict[int, float] = {}
        self.filed: Counter[int] = Counter()
        self.failed: dict[int, Failure] = {}
        self.contents: dict[int, str] = {}
        self.traces: dict[int, str] = {}
        self.verdicts: Counter[str] = Counter()
        self.cancelled: set[int] = set()
        self.ask(count)

    def ask(self, count: int) -> None:
        with self.lock:
            first = len(self.fences) + 1
            for number in range(first, first + count):
                self.fences[number] = 0
                self.queued.append(number)
            self.lock.notify_all()

    @property
    def ended(self) -> int:
        return len(self.filed) + len(self.failed)

    def all_ended(self, timeout: float = 20.0) -> bool:
        with self.lock:
            return self.lock.wait_for(lambda: self._sweep() or self.ended == len(self.fences), timeout)

    def _sweep(self) -> bool:
        now = time.monotonic()
        for number in [one for one, until in self.leased.items() if until < now]:
            del self.leased[number]
            self.queued.append(number)
        return False

    def claim(self, most: int, wait_s: float) -> list[Task]:
        until = time.monotonic() + wait_s
        with self.lock:
            while not (self._sweep() or self.queued):
                left = until - time.monotonic()
                if left <= 0:
                    return []
                self.lock.wait(min(left, 0.05))
            taken, self.queued = self.queued[:most], self.queued[most:]
            for number in taken:
                self.fences[number] += 1
                self.leased[number] = time.monotonic() + self.lease_s
            return [Task(n, self.fences[n], self.fences[n], f"mem://{n}", f"r{n}", f"trace-{n}") for n in taken]

    def beat(self, held: Sequence[Held]) -> list[Held]:
        with self.lock:
            self._sweep()
            mine = [one for one in held if one.request in self.leased and self.fences[one.request] == one.fence]
            for one in mine:
                self.leased[one.request] = time.monotonic() + self.lease_s
            return [one for one in held if one not in mine]

    def release(self, held: Sequence[Held]) -> int:
        with self.lock:
            mine = [one for one in held if one.request in self.leased and self.fences[one.request] == one.fence]
            for one in mine:
                del self.leased[one.request]
                self.queued.append(one.request)
            self.lock.notify_all()
            return len(mine)

    def settle(self, parts: Sequence[Part]) -> list[Verdict]:
        with self.lock:
            verdicts = [self._settle(part) for part in parts]
            self.verdicts.update(verdicts)
            self.lock.notify_all()
            return verdicts

    def _settle(self, part: Part) -> Verdict:
        number = part.request
        if self.fences[number] != part.fence:
            return "stale"
        if number in self.cancelled:
            return "over"
        if number in self.filed or number in self.failed:
            return "again"
        self.leased.pop(number, None)
        if number in self.queued:
            self.queued.remove(number)
        self.traces[number] = part.trace
        if isinstance(part.outcome, Failure):
            self.failed[number] = part.outcome
            return "noted"
        self.filed[number] += 1
        self.contents[number] = blake3(part.outcome.read()).hexdigest()
        return "filed"


class MemoryDesk:
    """A desk at a ledger in this process. `fault(what, number)` may raise, or stand still, before each call;

    `cut(number)` true loses the answer of a delivery that was taken.
    """

    def __init__(self, ledger: Ledgerlet, folder: Path) -> None:
        self.ledger, self._folder = ledger, folder
        self.fault: Callable[[str, int], None] = lambda what, number: None
        self.cut: Callable[[int], bool] = lambda number: False
        self.later: Callable[[int], bool] = lambda request: False
        self.deliveries: list[list[int]] = []
        self.beats: list[list[Held]] = []
        self.claims: list[int] = []
        self.callback = CALLBACK
        self._lock = threading.Lock()

    def claim(self, most: int, wait_s: float) -> Claimed:
        self.claims.append(most)
        self.fault("claim", len(self.claims))
        return Claimed(tuple(self.ledger.claim(most, min(wait_s, 0.05))), self.callback, self.ledger.lease_s)

    def beat(self, held: Sequence[Held]) -> list[Held]:
        self.fault("beat", len(self.beats))
        self.beats.append(list(held))
        return self.ledger.beat(held)

    def release(self, held: Sequence[Held]) -> None:
        self.fault("release", 0)
        self.ledger.release(held)

    def deliver(self, callback: str, parcels: Sequence[Parcel]) -> list[Verdict]:
        with self._lock:
            self.deliveries.append([parcel.task.request for parcel in parcels])
            number = len(self.deliveries)
        self.fault("deliver", number)
        packed = pack("double", parcels)
        if packed.file is not None:
            receiving = Receiving(self._folder / f"body-{number}", packed.digest, packed.size)
            for piece in packed.stretches():
                receiving.feed(piece)
            parts = receiving.finish().parts
        else:
            parts = unpack(b"".join(packed.stretches())).parts
        wait = [self.later(part.request) for part in parts]
        settled = iter(self.ledger.settle([part for part, later in zip(parts, wait, strict=True) if not later]))
        verdicts: list[Verdict] = ["later" if later else next(settled) for later in wait]
        if self.cut(number):
            raise Busy("the connection was cut")
        return verdicts


def content_of(address: str, size: int = 2000) -> bytes:
    return blake3(address.encode()).digest(length=size)


class InventingFetcher:
    """Gets content at once, invented from the address; `slow(address)` true: only after `let`."""

    def __init__(self, folder: Path, places: int = 64) -> None:
        self._folder, self._places = folder, places
        self._lock = threading.Condition()
        self._done: list[tuple[int, Got | Failure]] = []
        self._slow: dict[int, Order] = {}
        self.slow: Callable[[str], bool] = lambda address: False
        self.size: Callable[[str], int] = lambda address: 2000
        self.fails: Callable[[str], bool] = lambda address: False
        self.placed: list[str] = []
        self.dropped: list[int] = []

    def room(self) -> int:
        with self._lock:
            return max(0, self._places - len(self._slow) - len(self._done))

    def place(self, orders: Sequence[Order]) -> None:
        with self._lock:
            for order in orders:
                self.placed.append(order.address)
                if self.slow(order.address):
                    self._slow[order.key] = order
                else:
                    self._done.append((order.key, self._get(order)))
            self._lock.notify_all()

    def let(self) -> None:
        with self._lock:
            self._done += [(key, self._get(order)) for key, order in self._slow.items()]
            self._slow.clear()
            self._lock.notify_all()

    def results(self, wait_s: float, most: int = 256) -> list[tuple[int, Got | Failure]]:
        with self._lock:
            self._lock.wait_for(lambda: bool(self._done), wait_s)
            taken, self._done = self._done[:most], self._done[most:]
            return taken

    def drop(self, keys: Sequence[int]) -> None:
        with self._lock:
            self.dropped += keys
            for key in keys:
                self._slow.pop(key, None)

    def close(self) -> None:
        return

    def _get(self, order: Order) -> Got | Failure:
        if self.fails(order.address):
            return Failure(Kind.GONE, "404")
        content = content_of(order.address, self.size(order.address))
        digest = blake3(content).hexdigest()
        if len(content) <= 256 << 10:
            return Got(content, len(content), digest)
        file = self._folder / f"large-{order.key}"
        file.write_bytes(content)
        return Got(file, len(content), digest)


def proven(ledger: Ledgerlet, size: int = 2000) -> bool:
    """Tell whether everything that was filed is what its address holds, each once, under its own trace."""
    return all(
        count == 1
        and ledger.contents[number] == blake3(content_of(f"mem://{number}", size)).hexdigest()
        and ledger.traces[number] == f"trace-{number}"
        for number, count in ledger.filed.items()
    )


__all__ = ["CALLBACK", "Content", "InventingFetcher", "Ledgerlet", "MemoryDesk", "content_of", "proven"]
