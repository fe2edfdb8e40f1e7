"""Bounds what waits: a transaction that is never decided, or too large, is refused instead of kept for ever.

The bounds depend on the entries alone, on their times and sizes, never on this machine's clock: both ends of a
stream refuse the same transactions at the same entry. MongoDB ends a transaction that is not prepared after a
minute (`transactionLifetimeLimitSeconds`); a prepared one waits for its coordinator.
"""

from __future__ import annotations

from bson.timestamp import Timestamp

from isthmus.gallery.oplog.entry import RawEntry
from isthmus.gallery.oplog.renames import KEPT_UNDER
from isthmus.gallery.oplog.transaction import Gathered
from isthmus.gallery.ports import Waiting

MOST_WAIT_S = 86_400
MOST_BYTES = 256 * 1024 * 1024


class Undecided:
    """The transactions that wait, as the entry at hand finds them."""

    def __init__(self, waiting: Waiting, most_wait_s: int = MOST_WAIT_S, most_bytes: int = MOST_BYTES) -> None:
        self._waiting, self._most_wait_s, self._most_bytes = waiting, most_wait_s, most_bytes
        self._begun: dict[str, int] | None = None
        self._bytes = 0

    def changed(self) -> None:
        """Take note that what waits may be something else now."""
        self._begun = None

    def refused(self, entry: RawEntry) -> list[Gathered]:
        """Drop the transactions that wait for too long when `entry` comes, or hold too much, and tell them."""
        begun = self._known()
        if not begun:
            return []
        gone: dict[str, str] = {}
        if isinstance(entry.ts, Timestamp):
            for name, time in begun.items():
                if entry.ts.time - time > self._most_wait_s:
                    gone[name] = f"its transaction was not decided within {self._most_wait_s} s"
        if self._bytes > self._most_bytes:
            oldest = min(begun, key=lambda name: (begun[name], name))
            gone.setdefault(oldest, f"transactions that are not decided hold more than {self._most_bytes} bytes")
        return [self._drop(name, reason) for name, reason in sorted(gone.items())]

    def _drop(self, name: str, reason: str) -> Gathered:
        kept = tuple(RawEntry(raw) for raw in self._waiting.entries(name))
        self._waiting.forget(name)
        self._begun = None
        return Gathered(kept, reason)

    def _known(self) -> dict[str, int]:
        if self._begun is None:
            self._begun, self._bytes = {}, 0
            for name, size, first in self._waiting.held():
                if name != KEPT_UNDER:
                    self._begun[name] = RawEntry(first).ts.time  # what waits was found to have a time
                    self._bytes += size
        return self._begun
