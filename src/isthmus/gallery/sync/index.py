"""The server's index of a gallery: every item's hashes, sorted, kept up by change number.

Building it reads every record once (about 25,000 a second from SQLite); after that only changes are read. It holds
about 110 bytes a record in memory and nothing on disk.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import IsthmusError
from isthmus.gallery.record import Record, Removed
from isthmus.gallery.sync.offer import Offer
from isthmus.gallery.sync.reconcile import U64

_STRETCH = 4000
_TURN_S = 0.005
"""So long records are hashed or told before other sessions get their turn."""
_SMALL = 20_000
"""Arrays of more records are worked on by another thread, in numpy's own loops for the most part."""
_CHUNK = 50_000

Asked = ParamSpec("Asked")
Found = TypeVar("Found")
Touched = dict[bytes, tuple[bytes, bytes | None]]
"""Key hash to key and item hash, None where devices do not get it."""


class Breath:
    """Lets other sessions have their turn in the middle of long work, by time: machines are fast and slow."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def taken(self) -> None:
        """Give way where it is time for it."""
        if time.monotonic() - self._since > _TURN_S:
            await asyncio.sleep(0)
            self._since = time.monotonic()


class SameHash(IsthmusError):
    """Two keys of a gallery have one hash: it needs another digest key."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The index at one moment; it never changes. Hashes ascend; lanes have the shape (records, 4).

    `digest` is the gallery's, as core.digest.Digest has it: the sum of the lanes.
    """

    change: int
    hashes: U64
    lanes: U64
    keys: NDArray[np.object_]
    digest: bytes

    @property
    def count(self) -> int:
        """How many items there are."""
        return len(self.hashes)

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
        touched = await self._hashed(self.offer.set.records(self.offer.gallery))
        return await large(len(touched), _merged, _empty(change), change, touched)

    async def _followed(self, view: View) -> View | None:
        """Take the next changes in; None where some are forgotten."""
        stretch = changes(self.offer, view.change)
        if stretch is None:
            return None
        if not stretch:
            return dataclasses.replace(view, change=self.offer.set.change(self.offer.gallery))
        return await large(view.count, _merged, view, stretch[-1].changed, await self._hashed(iter(stretch)))

    async def _hashed(self, records: Iterator[Record | Removed]) -> Touched:
        found: Touched = {}
        breath = Breath()
        for record in records:
            item = self.offer.of(record)
            place = self.offer.key_hash(record.key)
            if found.setdefault(place, (record.key, None))[0] != record.key:
                raise SameHash(f"two keys of {self.offer.gallery} have one hash")
            found[place] = (record.key, None if item is None else self.offer.hash(item))
            await breath.taken()
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
    return View(change, none, none.reshape(0, 4), np.zeros(0, object), bytes(32))


async def large(count: int, work: Callable[Asked, Found], *given: Asked.args, **named: Asked.kwargs) -> Found:
    """Do work on arrays of so many records: here where they are few, else on another thread."""
    if count <= _SMALL:
        return work(*given, **named)
    return await asyncio.to_thread(work, *given, **named)


def _merged(view: View, change: int, touched: Touched) -> View:
    """Return the view with the touched records replaced, added or (hash None) taken away."""
    hashes = _numbers(list(touched), ">u8")
    places = view.at(hashes)
    if any(touched[place][0] != key for place, key in _named(view, places)):
        raise SameHash("two keys of a gallery have one hash")
    kept = np.ones(view.count, bool)
    kept[places] = False
    told = np.fromiter((lane is not None for _, lane in touched.values()), bool, len(touched))
    found = [(key, lane) for key, lane in touched.values() if lane is not None]
    added = hashes[told]
    lanes = _numbers([lane for _, lane in found], "<u8").reshape(-1, 4)
    keys = np.fromiter((key for key, _ in found), object, len(found))
    old = view.hashes[kept]
    # the old and the new ones, one behind the other, and then in the order of their hashes
    merged = np.argsort(np.concatenate([old, added]), kind="stable")
    lanes = np.concatenate([view.lanes[kept], lanes])[merged]
    total: U64 = lanes.sum(axis=0, dtype=np.uint64)
    return View(
        change,
        np.concatenate([old, added])[merged],
        lanes,
        _in_order(
            [view.keys, keys], np.concatenate([np.flatnonzero(kept), view.count + np.arange(len(keys))])[merged]
        ),
        total.astype("<u8").tobytes(),
    )


def _in_order(parts: list[NDArray[np.object_]], order: NDArray[np.intp]) -> NDArray[np.object_]:
    """Return objects in an order, some at a time: each call counts references and lets no other thread run."""
    there = np.concatenate(parts)
    found = np.empty(len(order), object)
    for at in range(0, len(order), _CHUNK):
        found[at : at + _CHUNK] = there[order[at : at + _CHUNK]]
    return found


def _numbers(texts: list[bytes], form: str) -> U64:
    # in chunks: joining is one call that lets no other thread run
    parts = (b"".join(texts[at : at + _CHUNK]) for at in range(0, len(texts), _CHUNK))
    return np.concatenate(
        [np.zeros(0, np.uint64), *(np.frombuffer(part, form).astype(np.uint64) for part in parts)]
    )


def _named(view: View, places: NDArray[np.intp]) -> Iterator[tuple[bytes, bytes]]:
    for place in places:
        yield int(view.hashes[place]).to_bytes(8, "big"), view.keys[place]
