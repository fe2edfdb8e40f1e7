"""What acquiring asks of the way between agent and server and of what gets content, and the values that travel.

Each docstring is the contract; `tests/acquire/*contract*` runs it on every driver. Values of which every
image needs some are structs of msgspec: frozen dataclasses take five times as long to make and to compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

import msgspec

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


class Task(msgspec.Struct, frozen=True):
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


class Held(msgspec.Struct, frozen=True):
    """A request and the fence under which somebody holds it."""

    request: int
    fence: int


class Hold(msgspec.Struct, frozen=True):
    """What the ledger knows of a request that a delivery speaks of. `ours`: the fence is the newest one."""

    request: int
    environment: str
    state: State
    ours: bool
    attempts: int
    wish: Wish
    trace: str


class Settled(msgspec.Struct, frozen=True):
    """The image of a request was filed. Its `filed.path` may be shared by no other request; its content may."""

    request: int
    fence: int
    filed: Filed


class Missed(msgspec.Struct, frozen=True):
    """An attempt failed. `retry_s` is when to try again; None: never by itself."""

    request: int
    fence: int
    failure: Failure
    retry_s: float | None


Said = Literal["taken", "again", "stale", "over"]
"""What becomes of an outcome: it counts now; it had counted before; a newer lease exists; the request has ended
(cancelled, expired, failed) and the image is dropped."""


class Event(msgspec.Struct, frozen=True):
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


class Claimed(msgspec.Struct, frozen=True):
    """What a claim brought. `callback` is the address made by the server for delivering these tasks' results."""

    tasks: tuple[Task, ...]
    callback: str
    lease_s: float


class Got(msgspec.Struct, frozen=True):
    """Content that came. Small content is `bytes`, large content a file in the folder that the fetcher was given;

    `digest` is its BLAKE3 as hexadecimal digits, `size` in bytes.
    """

    content: bytes | Path
    size: int
    digest: str
    told: Told = Told()
    seconds: float = 0.0


class Order(msgspec.Struct, frozen=True):
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


class Parcel(msgspec.Struct, frozen=True):
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
