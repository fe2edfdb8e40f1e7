"""What the two sessions ask of their sides. Each docstring is the contract of the port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from isthmus.core.digest import Digest
from isthmus.gallery.sync.item import Item, Ref
from isthmus.gallery.sync.messages import Act, Acts, Claim, Start
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.gallery.sync.reconcile import U64


class Policy(Protocol):
    """Says what a device may hold, and keeps what it tells."""

    def allowed(self, device: str, galleries: Iterable[str]) -> Mapping[str, Mode]:
        """Return which of the galleries a device gets, and what of them. Raises Refused where it is revoked."""
        ...

    def seen(self, device: str) -> None:
        """Remember that a device has greeted just now."""
        ...

    def reached(self, device: str, changes: Mapping[str, int], dropped: Iterable[str] = ()) -> None:
        """Remember at which change of galleries a device stands now, and which it has to delete."""
        ...

    def note(self, device: str, queue: bytes, acts: Sequence[Act]) -> int:
        """Write a device's acts into the audit log, each number of a queue once; returns the last number noted."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What a page did to a gallery: records added or replaced, records removed."""

    written: int
    removed: int


class Part(Protocol):
    """A content that is being received. What was written survives an interruption."""

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        ...

    def write(self, content: bytes) -> None:
        """Add the next bytes."""
        ...

    def finish(self) -> bool:
        """Put the content in its place; False, and everything thrown away, where its BLAKE3 is another."""
        ...

    def close(self) -> None:
        """Let go of it; what is there stays for the next time."""
        ...


class Holding(Protocol):
    """What a device holds, as the session sees it."""

    def claims(self) -> list[Claim]:
        """Tell of every gallery what is held."""
        ...

    def drop(self, gallery: str) -> int:
        """Delete a gallery with all its files; returns how many records it had."""
        ...

    async def begin(self, start: Start, tier: Tier) -> None:
        """Prepare a gallery for a tier: its key, mode and model become the server's.

        Under another key all records are hashed anew, which takes minutes for a million of them.
        """
        ...

    def standing(self, gallery: str) -> tuple[Digest, int]:
        """Return the digest and the number of records."""
        ...

    def hashes(self, gallery: str) -> tuple[U64, U64]:
        """Return the records' key hashes, ascending, and their first lanes."""
        ...

    def missing(self, contents: Iterable[Ref]) -> list[Ref]:
        """List which contents are not there, each once."""
        ...

    def part(self, content: Ref) -> Part:
        """Open a content for receiving, at the place where it was interrupted."""
        ...

    def commit(self, gallery: str, pages: Sequence[Page]) -> Change:
        """Apply pages with their position in one transaction; their contents are there."""
        ...

    def settle(self, start: Start, change: int, *, verified: bool) -> None:
        """Note that the gallery stands at a change; `verified`: with the server's digest."""
        ...

    def acts(self, most: int) -> Acts | None:
        """Return the oldest acts that were not told yet; None where there are none."""
        ...

    def told(self, upto: int) -> None:
        """Forget acts up to a number."""
        ...

    def opened(self) -> None:
        """Note that a session begins."""
        ...

    def closed(self, *, leftovers: bool) -> None:
        """Note that a session ended well; what nothing refers to any more is removed.

        `leftovers`: contents may be there that were not committed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the difference, ready to be committed. See messages.Items for the fields."""

    items: Sequence[Item]
    removed: Sequence[bytes]
    upto: int
    cursor: bytes
