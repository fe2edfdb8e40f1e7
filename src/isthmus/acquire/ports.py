"""What acquiring asks of its ledger, of the way between agent and server, and of what gets content at an address.

Each docstring is the contract; `tests/acquire/*contract*` runs it on every driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from isthmus.acquire.failure import Failure
from isthmus.acquire.image import Filed, Told
from isthmus.acquire.request import Wish
from isthmus.acquire.states import State


@dataclass(frozen=True, slots=True)
class Asking:
    """What belongs to one POST as a whole. `owner` is the API key's name, `trace` the id that the logs bear.

    `once` is the Idempotency-Key and `body` the BLAKE3 of what was posted, both hexadecimal or empty.
    """

    owner: str
    trace: str
    label: str = ""
    once: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch that is durable. `again` is true where the Idempotency-Key had made it before."""

    batch: str
    requests: int
    following: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A leased request, as its agent sees it. `fence` grows with each lease; only the newest is listened to.

    `attempt` counts from 1. `deadline` is in UTC.
    """

    request: int
    fence: int
    attempt: int
    address: str
    record: str
    trace: str
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A request and the fence under which somebody holds it."""

    request: int
    fence: int


@dataclass(frozen=True, slots=True)
class Hold:
    """What the ledger knows of a request that a delivery speaks of. `ours`: the fence is the newest one."""

    request: int
    environment: str
    state: State
    ours: bool
    attempts: int
    wish: Wish
    trace: str


@dataclass(frozen=True, slots=True)
class Settled:
    """The image of a request was filed. Its `filed.path` may be shared by no other request; its content may."""

    request: int
    fence: int
    filed: Filed


@dataclass(frozen=True, slots=True)
class Missed:
    """An attempt failed. `retry_s` is when to try again; None: never by itself."""

    request: int
    fence: int
    failure: Failure
    retry_s: float | None


Said = Literal["taken", "again", "stale", "over"]
"""What becomes of an outcome: it counts now; it had counted before; a newer lease exists; the request has ended
(cancelled, expired, failed) and the image is dropped."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something a watching client learns. Numbers grow in the order in which events can be read: none comes late.

    `kind` is done, failed, cancelled or expired. `filed` comes with done, `failure` with failed.
    """

    number: int
    at: datetime
    kind: str
    batch: str
    owner: str
    request: int
    record: str
    environment: str
    tags: tuple[str, ...] = ()
    filed: Filed | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch as it stands. `counts` by state's word, `failures` by kind, both without zeros."""

    batch: str
    owner: str
    label: str
    made: datetime
    paused: bool
    counts: Mapping[str, int]
    failures: Mapping[str, int]
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One request as lists show it."""

    request: int
    batch: str
    owner: str
    wish: Wish
    state: State
    attempts: int
    trace: str
    changed: datetime
    due: datetime | None = None
    filed: Filed | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Which:
    """Which requests a list asks for; empty fields do not restrict. `owner` empty: everybody's."""

    owner: str = ""
    batch: str = ""
    environment: str = ""
    states: tuple[State, ...] = ()
    kind: str = ""
    place: str = ""
    tag: str = ""
    taken_from: datetime | None = None
    taken_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """How much lies where in one environment: counts by state's word, the age of the oldest queued in s."""

    environment: str
    counts: Mapping[str, int]
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as stored: never the key itself but its SHA-256 as hexadecimal digits.

    `role` is client, viewer, operator or agent; an agent's key is bound to its `environment`.
    """

    name: str
    role: str
    digest: str
    environment: str = ""
    made: datetime | None = None
    revoked: datetime | None = None


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


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim brought. `callback` is the address made by the server for delivering these tasks' results."""

    tasks: tuple[Task, ...]
    callback: str
    lease_s: float


@dataclass(frozen=True, slots=True)
class Got:
    """Content that came. Small content is `bytes`, large content a file in the folder that the fetcher was given;

    `digest` is its BLAKE3 as hexadecimal digits, `size` in bytes.
    """

    content: bytes | Path
    size: int
    digest: str
    told: Told = field(default_factory=Told)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """Something to get. `key` is the caller's; `until_s` is how long it may take in all, in seconds."""

    key: int
    address: str
    until_s: float


class Fetcher(Protocol):
    """Gets content at addresses, many at once. Rules, limits and credentials are its own business.

    Safe to use from several threads. An address that is not allowed is answered with a failure like any other.
    """

    def room(self) -> int:
        """Tell how many more orders may be placed now without waiting."""
        ...

    def place(self, orders: Sequence[Order]) -> None:
        """Begin to get. Returns at once."""
        ...

    def results(self, wait_s: float, most: int = 256) -> list[tuple[int, Got | Failure]]:
        """Return what has come, by key, waiting up to `wait_s` for the first."""
        ...

    def drop(self, keys: Sequence[int]) -> None:
        """Stop getting what nobody wants any more; no result follows."""
        ...

    def close(self) -> None:
        """Stop all and free everything."""
        ...


@dataclass(frozen=True, slots=True)
class Parcel:
    """The outcome of a task, on its way to the server. `trace` goes with it through the logs."""

    task: Task
    outcome: Got | Failure


Verdict = Literal["filed", "noted", "again", "stale", "over", "later", "unfit"]
"""What the server says of a parcel: filed; a failure was noted; it had come before; a newer lease exists; the
request has ended; come again (the server cannot take it now); it was the right parcel, but no image that can be
filed."""


class Desk(Protocol):
    """The interface server as an agent sees it, whatever carries it: HTTP, or bundles through gate folders.

    Raises `Busy` where the server cannot be reached or asks to come later (the agent keeps what it has and tries
    again), `Refused` where it does not accept the agent.
    """

    def claim(self, most: int, wait_s: float) -> Claimed:
        """Ask for tasks; wait up to `wait_s` for the first."""
        ...

    def beat(self, held: Sequence[Held]) -> list[Held]:
        """Say what is still being worked on; returns what is no longer wanted."""
        ...

    def deliver(self, callback: str, parcels: Sequence[Parcel]) -> list[Verdict]:
        """Hand results over: up to 16 small ones or one large one. Verdicts are durable, in the same order."""
        ...

    def release(self, held: Sequence[Held]) -> None:
        """Give back what will not be done."""
        ...
