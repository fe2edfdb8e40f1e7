"""What the capabilities ask of the world. Each docstring is the contract of the port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from isthmus.core.header import Header, Kind
from isthmus.core.position import Position


class Clock(Protocol):
    """Tells the time. Tests hand in one that stands still or jumps."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC. It may jump either way: never trust a difference."""
        ...


@dataclass(frozen=True, slots=True)
class Cut:
    """A stretch of a stream, ready to be packed. `members` are made anew each time one is opened."""

    kind: Kind
    since: Position
    until: Position
    members: Mapping[str, Callable[[], Iterator[bytes]]]
    counts: Mapping[str, int] = field(default_factory=dict)


class Source(Protocol):
    """A stream of changes that can be read after a position.

    What was cut once is cut the same way again as long as the changes are kept: same bounds, same bytes.
    """

    @property
    def stream(self) -> str:
        """The stream's name."""
        ...

    @property
    def key(self) -> bytes:
        """The key of the stream's digests, the same for the life of the stream."""
        ...

    def position(self) -> Position:
        """Return the latest position."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Return what a heartbeat tells of the content at the latest position, such as {"records": n}. Cheap."""
        ...

    def after(self, position: Position, most_bytes: int) -> Cut | None:
        """Return the next stretch, of about `most_bytes` at most but at least one change; None at the end.

        Raises InputError where the changes after `position` are no longer kept or never were.
        """
        ...

    def pending(self, position: Position) -> int:
        """Return about how many bytes the changes after `position` have, without cutting them.

        Raises InputError as `after` does.
        """
        ...

    def snapshot(self) -> Cut:
        """Return the whole content at the latest position, read at one moment."""
        ...


class Delivery(Protocol):
    """A verified bundle, open for reading. Nothing of a bundle is parsed before it is verified."""

    @property
    def header(self) -> Header:
        """What the bundle says of itself."""
        ...

    def read(self, member: str) -> Iterator[bytes]:
        """Stream one member, unpacked. Raises Corrupt where it is not there or is larger than allowed."""
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """What an application did. `refused` counts changes that were set aside with a reason."""

    position: Position
    changes: int
    refused: int = 0


class Target(Protocol):
    """Where a stream is applied. Changes and the new position are committed in one transaction, or neither."""

    def position(self, stream: str) -> Position | None:
        """Return where the target stands; None before the first bundle."""
        ...

    def seen(self, stream: str, epoch: int, seq: int) -> str | None:
        """Return the digest, as text, that the target had at (epoch, seq); None where it does not know."""
        ...

    def apply(self, bundle: Delivery) -> Applied:
        """Apply a bundle that was judged NEXT or SNAPSHOT; afterwards the position is `header.until`.

        Raises Diverged, and commits nothing, where the content then has another digest than the header tells.
        """
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """What can be told of an arrived file without reading it.

    `size` is in bytes; `stamp` is another one whenever the content may be another (times, place on the disk).
    """

    size: int
    stamp: str


class Carrier(Protocol):
    """Carries files across a boundary, perhaps late, twice, out of order, in pieces, or not at all."""

    def put(self, name: str, file: Path) -> None:
        """Hand over a file under a name; a name that is still there is replaced. Raises OSError."""
        ...

    def names(self) -> list[str]:
        """List what has arrived, sorted."""
        ...

    def look(self, name: str) -> Arrival:
        """Tell size and stamp of what has arrived under `name`. Raises FileNotFoundError where it has gone."""
        ...

    def take(self, name: str, into: Path) -> int:
        """Copy what has arrived under `name` into a file and return its size in bytes.

        The copy may be of a file that is still growing. Raises FileNotFoundError where it has gone.
        """
        ...

    def drop(self, name: str) -> None:
        """Remove what has arrived under `name`; nothing happens where it has gone."""
        ...
