"""The ledger over any store that runs `Work` and `Reads`: each call is one transaction of steps."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from isthmus.acquire.image import Filed
from isthmus.acquire.ports import (
    Accepted,
    Asking,
    Batch,
    Depth,
    Event,
    Held,
    Hold,
    Key,
    Line,
    Missed,
    Said,
    Settled,
    Task,
    Which,
)
from isthmus.acquire.queue import accepting, claims, keeping, reading, settling, steering, sweeping
from isthmus.acquire.queue.work import Reads, Work
from isthmus.acquire.request import Wish

T = TypeVar("T")


class SqlLedger(abc.ABC):
    """`ports.Ledger`, whose docstrings are the contract, in terms of two things that a store can do."""

    @abc.abstractmethod
    def _write(self, act: Callable[[Work], T], now: datetime) -> T:
        """Run an act in a transaction; return when it is durable."""

    @abc.abstractmethod
    def _read(self, act: Callable[[Reads], T]) -> T:
        """Run an act that only reads, on one state of the store."""

    @abc.abstractmethod
    def close(self) -> None:
        """Finish what is under way and close."""

    def accept(self, asking: Asking, wishes: Sequence[Wish], now: datetime) -> Accepted:
        """Store a batch."""
        return self._write(lambda work: accepting.accept(work, asking, wishes, now), now)

    def claim(self, environment: str, agent: str, most: int, lease_s: float, now: datetime) -> list[Task]:
        """Lease requests."""
        return self._write(lambda work: claims.claim(work, environment, agent, most, lease_s, now), now)

    def beat(self, agent: str, held: Sequence[Held], lease_s: float, now: datetime) -> list[Held]:
        """Prolong leases."""
        return self._write(lambda work: claims.beat(work, agent, held, lease_s, now), now) if held else []

    def release(self, agent: str, held: Sequence[Held], now: datetime) -> int:
        """Give leases back."""
        return self._write(lambda work: claims.release(work, agent, held, now), now) if held else 0

    def held(self, held: Sequence[Held]) -> list[Hold | None]:
        """Tell what is known of requests."""
        return self._read(lambda reads: reading.held(reads, held)) if held else []

    def settle(self, outcomes: Sequence[Settled | Missed], now: datetime) -> list[Said]:
        """Take outcomes."""
        return self._write(lambda work: settling.settle(work, outcomes, now), now) if outcomes else []

    def sweep(self, now: datetime, most_attempts: int) -> dict[str, int]:
        """Do what is due, in transactions that let others in between."""
        done = Counter(dict.fromkeys(("due", "lost", "failed", "expired"), 0))
        while (due := self.next_due()) is not None and due <= now:
            more = self._write(lambda work: sweeping.sweep(work, now, most_attempts), now)
            done.update(more)
            if not more.total():
                break  # another process did it
        return dict(done)

    def next_due(self) -> datetime | None:
        """Tell when there is something to sweep."""
        return self._read(sweeping.next_due)

    def cancel(self, batch: str, now: datetime) -> int:
        """Cancel a batch."""
        return self._write(lambda work: steering.cancel(work, batch, now), now)

    def pause(self, batch: str, now: datetime) -> int:
        """Pause a batch."""
        return self._write(lambda work: steering.pause(work, batch, now), now)

    def resume(self, batch: str, now: datetime) -> int:
        """Let a batch go on."""
        return self._write(lambda work: steering.resume(work, batch, now), now)

    def retry(self, batch: str, requests: Sequence[int], now: datetime) -> int:
        """Queue what failed again."""
        return self._write(lambda work: steering.retry(work, batch, requests, now), now)

    def batch(self, batch: str) -> Batch:
        """Return one batch."""
        return self._read(lambda reads: reading.batch(reads, batch))

    def batches(self, owner: str = "", after: str = "", most: int = 100) -> list[Batch]:
        """Return batches, newest first."""
        return self._read(lambda reads: reading.batches(reads, owner, after, most))

    def lines(self, which: Which, after: int = 0, most: int = 100, newest: bool = False) -> list[Line]:
        """Return requests."""
        return self._read(lambda reads: reading.lines(reads, which, after, most, newest))

    def line(self, request: int) -> Line | None:
        """Return one request."""
        return self._read(lambda reads: reading.line(reads, request))

    def filed(self, digest: str) -> Filed | None:
        """Return an image."""
        return self._read(lambda reads: reading.filed(reads, digest))

    def events(self, after: int, most: int = 1000, owner: str = "", batch: str = "") -> list[Event]:
        """Return events."""
        return self._read(lambda reads: reading.events(reads, after, most, owner, batch))

    def latest(self) -> int:
        """Return the number of the latest event."""
        return self._read(reading.latest)

    def depths(self, now: datetime) -> list[Depth]:
        """Tell the live counts of environments."""
        return self._read(lambda reads: reading.depths(reads, now))

    def images_after(self, number: int, most: int) -> list[tuple[int, Line]]:
        """Return done requests by the number of their event."""
        return self._read(lambda reads: reading.images_after(reads, number, most))

    def removable(self, before: datetime | None, beyond_bytes: int | None, most: int) -> list[Line]:
        """Return what need not be kept."""
        return self._read(lambda reads: keeping.removable(reads, before, beyond_bytes, most))

    def removed(self, requests: Sequence[int], now: datetime) -> list[str]:
        """Note that images are gone."""
        return self._write(lambda work: keeping.removed(work, requests, now), now)

    def purge(self, before: datetime, most: int) -> int:
        """Forget batches."""
        return self._write(lambda work: keeping.purge(work, before, most), before)

    def put_key(self, key: Key) -> None:
        """Store a key."""
        self._write(lambda work: keeping.put_key(work, key), key.made or _NEVER)

    def keys(self) -> list[Key]:
        """Return all keys."""
        return self._read(keeping.keys)

    def revoke_key(self, name: str, now: datetime) -> None:
        """Revoke a key."""
        self._write(lambda work: keeping.revoke_key(work, name, now), now)


_NEVER = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
