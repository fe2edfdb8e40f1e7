"""The server's index of a gallery: every item's hashes, sorted, kept up by change number.

Building it reads every record once (about 25,000 a second from SQLite); after that only changes are read. It holds
about 110 bytes a record in memory and nothing on disk.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import IsthmusError
from isthmus.gallery.record import Record, Removed
from isthmus.gallery.sync.offer import Offer
from isthmus.gallery.sync.reconcile import U64

_STRETCH = 4000
_BREATH = 500
"""So many records are hashed before other sessions get their turn."""


class SameHash(IsthmusError):
    """Two keys of a gallery have one hash: it needs another digest key."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The index at one moment; it never changes. Hashes ascend; lanes have the shape (records, 4)."""

    change: int
    hashes: U64
    lanes: U64
    keys: NDArray[np.object_]

    @property
    def count(self) -> int:
        """How many items there are."""
        return len(self.hashes)

    @property
    def digest(self) -> bytes:
        """The gallery's digest, as core.digest.Digest has it."""
        total: U64 = self.lanes.sum(axis=0, dtype=np.uint64)
        return total.astype("<u8").tobytes()

    def at(self, hashes: U64) -> NDArray[np.intp]:
        """Return the places of those hashes that are there."""
        if not self.count:
            return np.zeros(0, np.intp)
        place = np.minimum(np.searchsorted(self.hashes, hashes), self.count - 1)
        found: NDArray[np.intp] = place[self.hashes[place] == hashes]
        return found


class Index:
    """Keeps the view of one offer up to date."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self._view: View | None = None
        self._turn = asyncio.Lock()

    async def view(self) -> View:
        """Return the index as the set stands now. Raises SameHash."""
        async with self._turn:
            view = self._view
            while view is None or view.change < self.offer.set.change(self.offer.gallery):
                view = await self._built() if view is None else await self._followed(view)
            if self.offer.set.change(self.offer.gallery) < view.change:
                view = await self._built()  # the set was restored from a backup
            self._view = view
            return view

    async def _built(self) -> View:
        change = self.offer.set.change(self.offer.gallery)
        return _merged(_empty(change), change, await self._hashed(self.offer.set.records(self.offer.gallery)))

    async def _followed(self, view: View) -> View | None:
        """Take the next changes in; None where some are forgotten."""
        stretch = changes(self.offer, view.change)
        if stretch is None:
            return None
        if not stretch:
            return View(self.offer.set.change(self.offer.gallery), view.hashes, view.lanes, view.keys)
        return _merged(view, stretch[-1].changed, await self._hashed(iter(stretch)))

    async def _hashed(self, records: Iterator[Record | Removed]) -> dict[bytes, tuple[bytes, bytes | None]]:
        found: dict[bytes, tuple[bytes, bytes | None]] = {}
        for number, record in enumerate(records, 1):
            item = self.offer.of(record)
            place = self.offer.key_hash(record.key)
            if found.setdefault(place, (record.key, None))[0] != record.key:
                raise SameHash(f"two keys of {self.offer.gallery} have one hash")
            found[place] = (record.key, None if item is None else self.offer.hash(item))
            if number % _BREATH == 0:
                await asyncio.sleep(0)
        return found


def changes(offer: Offer, after: int) -> list[Record | Removed] | None:
    """Return the next some thousand changes, whole change numbers; None where some since are forgotten."""
    stream = offer.set.changes(offer.gallery, after)
    if stream is None:
        return None
    stretch = list(itertools.islice(stream, _STRETCH))
    if len(stretch) == _STRETCH:
        stretch += itertools.takewhile(lambda change: change.changed == stretch[-1].changed, stream)
    return stretch


def _empty(change: int) -> View:
    none = np.zeros(0, np.uint64)
    return View(change, none, none.reshape(0, 4), np.zeros(0, object))


def _merged(view: View, change: int, touched: dict[bytes, tuple[bytes, bytes | None]]) -> View:
    """Return the view with the touched records replaced, added or (hash None) taken away."""
    order = sorted(touched)
    hashes = np.frombuffer(b"".join(order), ">u8").astype(np.uint64)
    places = view.at(hashes)
    if any(touched[place][0] != key for place, key in _named(view, places)):
        raise SameHash("two keys of a gallery have one hash")
    kept = np.ones(view.count, bool)
    kept[places] = False
    new = [place for place in order if touched[place][1] is not None]
    added = np.frombuffer(b"".join(new), ">u8").astype(np.uint64)
    lanes = np.frombuffer(b"".join(touched[place][1] or b"" for place in new), "<u8").astype(np.uint64)
    keys = np.empty(len(new), object)
    keys[:] = [touched[place][0] for place in new]
    old = view.hashes[kept]
    where = np.searchsorted(old, added)
    return View(
        change,
        np.insert(old, where, added),
        np.insert(view.lanes[kept], where, lanes.reshape(-1, 4), axis=0),
        np.insert(view.keys[kept], where, keys),
    )


def _named(view: View, places: NDArray[np.intp]) -> Iterator[tuple[bytes, bytes]]:
    for place in places:
        yield int(view.hashes[place]).to_bytes(8, "big"), view.keys[place]
