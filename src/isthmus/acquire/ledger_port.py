"""What acquiring asks of its ledger: the durable queue, and all that is to be remembered of requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

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
from isthmus.acquire.request import Wish


class Ledger(Protocol):
    """The durable queue and all that is to be remembered of requests. Safe to use from many threads.

    Each call is one transaction: all of it or nothing, durable when it returns. Times are aware, in UTC, and come
    from the caller (`now`), so that a test's clock rules. Whatever goes wrong in the store raises Busy (try
    again), OSError (the disk) or Corrupt.

    Fairness: in an environment, higher priority goes first; among equals, batches take turns one request each,
    however long they are. Environments do not touch each other.
    """

    def accept(self, asking: Asking, wishes: Sequence[Wish], now: datetime) -> Accepted:
        """Store a batch of checked wishes. The same owner and `once` again returns the first batch, `again` set;

        raises InputError where `body` is another one then. A wish whose dedup key the owner has live follows that
        request; one whose image came already is done at once, with its event.
        """
        ...

    def claim(self, environment: str, agent: str, most: int, lease_s: float, now: datetime) -> list[Task]:
        """Lease up to `most` queued requests to an agent. No two calls, of any process, lease the same one."""
        ...

    def beat(self, agent: str, held: Sequence[Held], lease_s: float, now: datetime) -> list[Held]:
        """Prolong leases; return those that are no longer the agent's, to be dropped."""
        ...

    def release(self, agent: str, held: Sequence[Held], now: datetime) -> int:
        """Give leases back; they are queued at once and the attempt does not count. Returns how many."""
        ...

    def held(self, held: Sequence[Held]) -> list[Hold | None]:
        """Tell what is known of requests, in the same order; None for one that does not exist."""
        ...

    def settle(self, outcomes: Sequence[Settled | Missed], now: datetime) -> list[Said]:
        """Take outcomes, in the same order, with their events and those of requests that follow them.

        An outcome counts where its fence is the newest and the request has not ended (a lease that ran out does
        not matter while nobody else holds one). The event of a request's end is written once, ever. An outcome
        of a request that is done under the same fence is "again".
        """
        ...

    def sweep(self, now: datetime, most_attempts: int) -> dict[str, int]:
        """Do what is due: waiting ones are queued, leases that ran out released (after `most_attempts` failed as

        lost), deadlines kept. Returns how many of each: due, lost, failed, expired. Quick when nothing is due.
        """
        ...

    def next_due(self) -> datetime | None:
        """Tell when `sweep` has something to do next: the earliest due time, lease end or deadline."""
        ...

    def cancel(self, batch: str, now: datetime) -> int:
        """Cancel what has not ended, with events; return how many. Raises UnknownName, as the next three do."""
        ...

    def pause(self, batch: str, now: datetime) -> int:
        """Lease none of a batch's requests from now on; leases that run may still bring images."""
        ...

    def resume(self, batch: str, now: datetime) -> int:
        """Undo `pause`."""
        ...

    def retry(self, batch: str, requests: Sequence[int], now: datetime) -> int:
        """Queue again what failed or expired of a batch, all or only `requests`, with attempts counted from 0."""
        ...

    def batch(self, batch: str) -> Batch:
        """Return one batch."""
        ...

    def batches(self, owner: str = "", after: str = "", most: int = 100) -> list[Batch]:
        """Return batches, newest first, those made before batch `after` where it is given."""
        ...

    def lines(self, which: Which, after: int = 0, most: int = 100, newest: bool = False) -> list[Line]:
        """Return requests in the order of their numbers, or newest first; `after` is the last one seen."""
        ...

    def line(self, request: int) -> Line | None:
        """Return one request."""
        ...

    def filed(self, digest: str) -> Filed | None:
        """Return an image by the digest of its stored bytes; any of its paths."""
        ...

    def events(self, after: int, most: int = 1000, owner: str = "", batch: str = "") -> list[Event]:
        """Return events after a number, oldest first; empty `owner` or `batch` do not restrict."""
        ...

    def latest(self) -> int:
        """Return the number of the latest event; 0 before the first."""
        ...

    def depths(self, now: datetime) -> list[Depth]:
        """Tell the live counts of every environment that ever had a request. Quick: metrics ask often."""
        ...

    def images_after(self, number: int, most: int) -> list[tuple[int, Line]]:
        """Return requests that are done, by the number of their done event, for what follows the ledger."""
        ...

    def removable(self, before: datetime | None, beyond_bytes: int | None, most: int) -> list[Line]:
        """Return the oldest requests with images that were filed before a time, or that make the total larger

        than so many bytes; the total counts content once.
        """
        ...

    def removed(self, requests: Sequence[int], now: datetime) -> list[str]:
        """Note that images of requests were removed; return digests of contents that no request has any more.

        Requests that one fetch served share a path; `removable` names them together.
        """
        ...

    def purge(self, before: datetime, most: int) -> int:
        """Forget batches that ended before a time and have no image any more, with their requests and events.

        Stops before `most` requests are exceeded, but forgets at least one batch. Returns how many requests.
        """
        ...

    def put_key(self, key: Key) -> None:
        """Store an API key; the name is new. Raises InputError where it is taken."""
        ...

    def keys(self) -> list[Key]:
        """Return all keys, revoked ones too."""
        ...

    def revoke_key(self, name: str, now: datetime) -> None:
        """Let a key open nothing any more. Raises UnknownName."""
        ...

    def close(self) -> None:
        """Finish what is under way and close."""
        ...
