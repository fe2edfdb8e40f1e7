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
    """The transactions that wait, as the entry at hand finds them; a `Waiting` itself, to see all that changes.

    What waits is read from the store once, when it is first asked for, and counted along from then on: nobody
    else may add or forget meanwhile. It lasts as long as the store's transaction.
    """

    def __init__(self, waiting: Waiting, most_wait_s: int = MOST_WAIT_S, most_bytes: int = MOST_BYTES) -> None:
        self._waiting, self._most_wait_s, self._most_bytes = waiting, most_wait_s, most_bytes
        self._begun: dict[str, tuple[int, int]] | None = None  # when each began, and how many bytes it holds

    def add(self, transaction: str, entry: bytes) -> None:
        """Keep one more entry (its BSON) of an undecided transaction."""
        self._waiting.add(transaction, entry)
        if self._begun is not None and transaction != KEPT_UNDER:
            known = self._begun.get(transaction)
            time, size = known if known is not None else (RawEntry(entry).ts.time, 0)
            self._begun[transaction] = time, size + len(entry)

    def entries(self, transaction: str) -> list[bytes]:
        """Return what was kept, in the order in which it was added."""
        return self._waiting.entries(transaction)

    def forget(self, transaction: str) -> None:
        """Drop what was kept."""
        self._waiting.forget(transaction)
        if self._begun is not None:
            self._begun.pop(transaction, None)

    def held(self) -> list[tuple[str, int, bytes]]:
        """Tell of each transaction its name, how many bytes it holds, and its first entry; sorted by name."""
        return self._waiting.held()

    def refused(self, entry: RawEntry) -> list[Gathered]:
        """Drop the transactions that wait for too long when `entry` comes, or hold too much, and tell them."""
        begun = self._known()
        if not begun:
            return []
        gone: dict[str, str] = {}
        if isinstance(entry.ts, Timestamp):
            for name, (time, _) in begun.items():
                if entry.ts.time - time > self._most_wait_s:
                    gone[name] = f"its transaction was not decided within {self._most_wait_s} s"
        if sum(size for _, size in begun.values()) > self._most_bytes:
            oldest = min(begun, key=lambda name: (begun[name][0], name))
            gone.setdefault(oldest, f"transactions that are not decided hold more than {self._most_bytes} bytes")
        return [self._drop(name, reason) for name, reason in sorted(gone.items())]

    def _drop(self, name: str, reason: str) -> Gathered:
        kept = tuple(RawEntry(raw) for raw in self.entries(name))
        self.forget(name)
        return Gathered(kept, reason)

    def _known(self) -> dict[str, tuple[int, int]]:
        if self._begun is None:
            self._begun = {
                name: (RawEntry(first).ts.time, size)  # what waits was found to have a time
                for name, size, first in self._waiting.held()
                if name != KEPT_UNDER
            }
        return self._begun
