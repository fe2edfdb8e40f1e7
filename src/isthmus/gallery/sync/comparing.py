"""The server's part in comparing ranges with a device, bounded whatever the device sends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import Refused
from isthmus.gallery.sync import reconcile
from isthmus.gallery.sync.index import View
from isthmus.gallery.sync.messages import DEEPEST, Differ, Leaves, Ranges
from isthmus.gallery.sync.reconcile import U32, U64

_PREFIXES_A_PAGE = 350
_SPARE = 100_000
_A_MESSAGE = 100
"""What a message costs at least, however little it tells."""


class Comparing:
    """Compares one device's records with a view of the index."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._first = np.ascontiguousarray(view.lanes[:, 0])
        self._running = reconcile.running(self._first)
        self._room = 2 * view.count + _SPARE
        self._left = view.count
        self._told: list[NDArray[np.intp]] = []
        self._removed: list[U64] = []

    def ranges(self, message: Ranges) -> Iterator[Differ]:
        """Answer a page of sums with the ranges that differ, and the sums below them. Raises Refused."""
        level = message.level
        theirs, under = _numbers(message.sums, message.under)
        self._spend(len(theirs))
        if message.under:
            if not level or int(under[-1]) >= 16 ** (level - 1):
                raise Refused("ranges outside of their level")
            prefixes = reconcile.below(under)
        elif level <= reconcile.WIDEST:
            prefixes = reconcile.every(level)
        else:
            raise Refused(f"all ranges of level {level} at once")
        if len(theirs) != len(prefixes) or level >= DEEPEST:
            raise Refused(f"{len(theirs)} sums of {len(prefixes)} ranges of level {level}")
        ours = reconcile.summed(self.view.hashes, self._running, level, prefixes)
        differing = prefixes[ours != theirs]
        pages = max(1, -(-len(differing) // _PREFIXES_A_PAGE))
        for number in range(pages):
            page = differing[number * _PREFIXES_A_PAGE : (number + 1) * _PREFIXES_A_PAGE]
            below = reconcile.summed(self.view.hashes, self._running, level + 1, reconcile.below(page))
            more = message.more or number + 1 < pages
            yield Differ(level, page.astype("<u4").tobytes(), below.astype("<u8").tobytes(), more)

    def leaves(self, message: Leaves) -> tuple[NDArray[np.intp], U64] | None:
        """Compare the records of some ranges; after the last page returns the places that the device lacks or has
        otherwise, and the key hashes that it has to remove. Raises Refused.
        """
        try:
            prefixes = reconcile.u32(message.prefixes)
            theirs = reconcile.of_pairs(message.pairs)
        except ValueError as error:
            raise Refused(f"leaves that cannot be read: {error}") from error
        self._spend(len(theirs[0]) + len(prefixes))
        if len(prefixes) and int(prefixes[-1]) >= 16**message.level:
            raise Refused("leaves outside of their level")
        begin, end = reconcile.bounds(self.view.hashes, message.level, prefixes)
        self._left -= int((end - begin).sum())  # no range is told twice, so their records are never more than all
        if self._left < 0:
            raise Refused("the device tells of the same ranges again and again")
        places = reconcile.within(self.view.hashes, message.level, prefixes)
        ours = self.view.hashes[places], self._first[places]
        lacking, removed = reconcile.difference(ours, theirs)
        self._told.append(places[lacking])
        self._removed.append(removed)
        if message.more:
            return None
        told = np.unique(np.concatenate(self._told))
        return told, np.unique(np.concatenate(self._removed))

    def _spend(self, entries: int) -> None:
        self._room -= entries + _A_MESSAGE
        if self._room < 0:
            raise Refused("the device tells of more than a gallery of this size can need")


def _numbers(sums: bytes, under: bytes) -> tuple[U64, U32]:
    try:
        return reconcile.u64(sums), reconcile.u32(under)
    except ValueError as error:
        raise Refused(f"ranges that cannot be read: {error}") from error
