"""Tells the difference as pages of items, by tier; every tier ends by catching up with what changed meanwhile.

Items are told only as the index knows them: one that has changed since is left out and comes with the catching up,
so that after the last page the device holds exactly what the closing digest sums up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from numpy.typing import NDArray

from isthmus.gallery.record import Removed
from isthmus.gallery.sync import messages
from isthmus.gallery.sync.index import Breath, Index, View, changes
from isthmus.gallery.sync.item import Item
from isthmus.gallery.sync.messages import PAGE_BYTES, End, Items
from isthmus.gallery.sync.reconcile import U64

_ROUNDS = 8
"""So often a listing follows a gallery that goes on changing before it ends without a digest."""
_LAST = b"\xff" * 8


class _Page:
    """Collects a page until it is full."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.removed: list[bytes] = []
        self._bytes = 0

    def add(self, place: bytes, item: Item | None) -> bool:
        """Add an item, or a removal; whether the page is full."""
        if item is None:
            self.removed.append(place)
            self._bytes += len(place)
        else:
            self.items.append(item)
            self._bytes += messages.size(item)
        return self._bytes >= PAGE_BYTES

    def take(self, upto: int = -1, cursor: bytes = b"") -> Items:
        """Return the page and begin the next."""
        page = Items(self.items, b"".join(self.removed), upto, cursor)
        self.items, self.removed, self._bytes = [], [], 0
        return page


async def since(index: Index, after: int, *, moving: bool = True) -> AsyncIterator[Items | End]:
    """Tell what changed after a change; `moving`: the device's position moves along, so that it can be resumed.

    Ends without End where changes have been forgotten meanwhile.
    """
    offer, breath = index.offer, Breath()
    for _ in range(_ROUNDS):
        while stretch := changes(offer, after):
            page = _Page()
            for number, change in enumerate(stretch):
                await breath.taken()
                item = None if isinstance(change, Removed) else offer.of(change)
                whole = number + 1 == len(stretch) or stretch[number + 1].changed > change.changed
                if page.add(offer.key_hash(change.key), item):
                    yield page.take(change.changed if moving and whole else -1)
            after = stretch[-1].changed
            if page.items or page.removed:
                yield page.take(after if moving else -1)
        view = await index.view()
        if view.change <= after or not changes(offer, after):
            yield End(view.change, view.count, view.digest)
            return
    yield End(after, 0, b"")


async def snapshot(index: Index, view: View, begun: int, cursor: bytes) -> AsyncIterator[Items | End]:
    """Tell all records after a key hash, then what changed after the snapshot began."""
    page, breath = _Page(), Breath()
    first = (
        0 if cursor in (b"", bytes(8)) else int(view.hashes.searchsorted(int.from_bytes(cursor, "big"), "right"))
    )
    for at in range(first, view.count):
        await breath.taken()
        place = int(view.hashes[at]).to_bytes(8, "big")
        item = _as_known(index, view, at)
        if item is not None and page.add(place, item):
            yield page.take(cursor=place)
    if cursor != _LAST:
        yield page.take(cursor=_LAST)
    async for message in since(index, begun, moving=False):
        yield message


async def chosen(index: Index, view: View, told: NDArray[Any], removed: U64) -> AsyncIterator[Items | End]:
    """Tell the records at some places of a view and remove others, then what changed since the view."""
    page, breath = _Page(), Breath()
    for place in removed:
        await breath.taken()
        if page.add(int(place).to_bytes(8, "big"), None):
            yield page.take()
    for at in told:
        await breath.taken()
        item = _as_known(index, view, int(at))
        if item is not None and page.add(b"", item):
            yield page.take()
    if page.items or page.removed:
        yield page.take()
    async for message in since(index, view.change, moving=False):
        yield message


def _as_known(index: Index, view: View, at: int) -> Item | None:
    item = index.offer.item(view.keys[at])
    if item is None or index.offer.hash(item) != view.lanes[at].astype("<u8").tobytes():
        return None
    return item
