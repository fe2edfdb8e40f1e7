"""The device's part in comparing ranges: sends sums, goes down where they differ, and lists small ranges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np

from isthmus.core.errors import Refused
from isthmus.gallery.sync import reconcile
from isthmus.gallery.sync.messages import DEEPEST, Differ, Leaves, Ranges, Start
from isthmus.gallery.sync.ports import Holding
from isthmus.gallery.sync.reconcile import U32

_UNDER_A_PAGE = 350
_PAIRS_A_PAGE = 3000


class Search:
    """Finds with the server which records of a gallery differ."""

    def __init__(
        self,
        holding: Holding,
        start: Start,
        send: Callable[[Ranges | Leaves], Awaitable[None]],
        receive: Callable[[], Awaitable[Differ]],
    ) -> None:
        self._hashes, self._lanes = holding.hashes(start.gallery)
        self._most = max(len(self._hashes), start.count)
        self._send, self._receive = send, receive

    async def run(self) -> bool:
        """Compare down to the leaves and list them; False where so much differs that a snapshot costs less."""
        level = reconcile.start_level(self._most)
        under: U32 = np.zeros(0, np.uint32)
        while True:
            await self._ask(level, under)
            prefixes = await self._answers(level)
            level, deep = level + 1, reconcile.is_leaf(self._most, level + 1) or level + 2 >= DEEPEST
            if self._too_many(len(prefixes), 16**level):
                return False
            if deep or not len(prefixes):
                await self._list(level, prefixes)
                return True
            level, under = level + 1, prefixes

    async def _ask(self, level: int, under: U32) -> None:
        whole = not len(under) and level <= reconcile.WIDEST
        pages = 1 if whole else max(1, -(-len(under) // _UNDER_A_PAGE))
        for number in range(pages):
            page = under[number * _UNDER_A_PAGE : (number + 1) * _UNDER_A_PAGE]
            prefixes = reconcile.every(level) if whole else reconcile.below(page)
            sums = reconcile.sums(self._hashes, self._lanes, level, prefixes)
            told = page.astype("<u4").tobytes()
            await self._send(Ranges(level, told, sums.astype("<u8").tobytes(), number + 1 < pages))

    async def _answers(self, level: int) -> U32:
        """Return the ranges one level down that differ."""
        found: list[U32] = []
        while True:
            differ = await self._receive()
            if differ.level != level:
                raise Refused("the server compared another level than the one asked for")
            try:
                prefixes = reconcile.below(reconcile.u32(differ.prefixes))
                theirs = reconcile.u64(differ.sums)
            except ValueError as error:
                raise Refused(f"the server's sums cannot be read: {error}") from error
            if len(theirs) != len(prefixes):
                raise Refused("the server sent more or fewer sums than ranges")
            ours = reconcile.sums(self._hashes, self._lanes, level + 1, prefixes)
            found.append(prefixes[ours != theirs])
            if not differ.more:
                return np.concatenate(found)

    async def _list(self, level: int, prefixes: U32) -> None:
        """Send the records of some ranges, whole ranges a page."""
        begin, end = reconcile.bounds(self._hashes, level, prefixes)
        filled = np.cumsum(end - begin + 1) // _PAIRS_A_PAGE
        cuts = np.flatnonzero(np.diff(filled)) + 1
        pages = np.split(prefixes, cuts)
        for number, page in enumerate(pages):
            at = reconcile.within(self._hashes, level, page)
            pairs = reconcile.pairs(self._hashes[at], self._lanes[at])
            await self._send(Leaves(level, page.astype("<u4").tobytes(), pairs, number + 1 < len(pages)))

    def _too_many(self, differing: int, ranges: int) -> bool:
        if self._most <= reconcile.LEAF_ITEMS * 16:
            return False
        return reconcile.likely_changed(differing, ranges) > self._most / 2
