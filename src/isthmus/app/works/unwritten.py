"""What works told that nobody else may know: kept in memory alone, and for a while.

The token of an invitation or the text of a new key is of use to one person, at once. It is therefore never written
to the state or to a work's folder, and forgotten after `keep_s`; it goes with the server, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

Forget = Callable[[str], None]


@dataclass(slots=True)
class _Told:
    said: str
    printed: dict[str, bytes]
    timer: threading.Timer


class Unwritten:
    """What secret works told, by their ids. Its methods may be called from any thread."""

    def __init__(self, keep_s: float, forgotten: Forget) -> None:
        """`forgotten` is told the id of a work whose words were just forgotten."""
        self._keep_s, self._forgotten = keep_s, forgotten
        self._told: dict[str, _Told] = {}
        self._lock = threading.Lock()

    def keep(self, id: str, said: str, printed: dict[str, bytes]) -> None:
        """Keep what a work told from now on, for so long."""
        timer = threading.Timer(self._keep_s, self.forget, (id,))
        timer.daemon = True
        with self._lock:
            self._told[id] = _Told(said, printed, timer)
        timer.start()

    def said(self, id: str) -> str:
        """Return the last lines that a work said; empty where they are forgotten."""
        found = self._told.get(id)
        return found.said if found is not None else ""

    def printed(self, id: str, stream: str) -> bytes | None:
        """Return all that a work printed on a stream; None where it is forgotten."""
        found = self._told.get(id)
        return found.printed[stream] if found is not None else None

    def forget(self, id: str) -> None:
        """Forget a work's words now."""
        with self._lock:
            found = self._told.pop(id, None)
        if found is not None:
            found.timer.cancel()
            self._forgotten(id)

    def close(self) -> None:
        """Forget all."""
        for id in list(self._told):
            self.forget(id)
