"""What happens to works, told to whoever watches, with numbers by which one who was away can go on."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from isthmus.app.works.work import Work

What = Literal["state", "progress", "said", "ended"]
_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Happening:
    """One change. `work` is how the work stands after it; `said` what was printed, for the kind `said`.

    `id` is the server's start and a number, so that one of before a restart is not taken for one of after.
    """

    id: str
    what: What
    work: Work
    said: str = ""


Take = Callable[[Happening], None]
"""Takes what happens; quick, from any thread, and never raises."""


class Happenings:
    """The last changes, and who watches. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self.start = secrets.token_hex(3)
        self._number = 0
        self._kept: deque[Happening] = deque(maxlen=_KEPT)
        self._watchers: set[Take] = set()
        self._lock = threading.Lock()

    def tell(self, what: What, work: Work, said: str = "") -> None:
        """Tell a change to all who watch."""
        with self._lock:
            self._number += 1
            told = Happening(f"{self.start}-{self._number}", what, work, said)
            # what was printed is in `said` alone: kept with each line of it, it would grow with its square
            self._kept.append(replace(told, work=replace(work, said="")) if what == "said" else told)
            for take in self._watchers:
                take(told)

    def watch(self, take: Take, after: str = "") -> tuple[Callable[[], None], bool]:
        """Tell `take` what happens from now on, and first what happened after the event `after`.

        Returns what ends it, and whether nothing was missed: False where that event is forgotten, or of before a
        restart; the watcher then looks how everything stands.
        """
        with self._lock:
            missed, whole = self._after(after)
            for one in missed:
                take(one)
            self._watchers.add(take)

        def leave() -> None:
            with self._lock:
                self._watchers.discard(take)

        return leave, whole

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def _after(self, id: str) -> tuple[list[Happening], bool]:
        start, _, number = id.partition("-")
        if not id:
            return [], True
        if start != self.start or not number.isdecimal() or int(number) > self._number:
            return [], False
        kept = [one for one in self._kept if int(one.id.partition("-")[2]) > int(number)]
        return kept, len(kept) == self._number - int(number)
