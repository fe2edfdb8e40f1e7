"""Keeps set 2 level with the gate while a server runs: receiving and vector making, on a thread of their own.

What keeps it from its work is told by `failure`, which /health shows, and tried again until it goes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from isthmus.app.galleries.config import GalleryConfig
from isthmus.app.galleries.outer import Outer
from isthmus.core.errors import IsthmusError

Say = Callable[[str], None]

_PATIENCE_S = 5.0
"""So long the end waits for what is being done: whatever is cut off then was not committed and is done again."""


class Follower:
    """A thread with a site of its own: SQLite connections never cross threads."""

    def __init__(self, config: GalleryConfig, say: Say) -> None:
        self._config, self._say = config, say
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._unerased = False
        self.failure = ""

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is being done now, and wait for that, but not for long."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        with contextlib.ExitStack() as held:
            outer: Outer | None = None
            while not self._stopped.is_set():
                try:
                    if outer is None:
                        outer = self._opened()
                        held.callback(outer.close)
                    self._round(outer)
                    self._healed()
                except (IsthmusError, OSError) as error:
                    self._failed(str(error) or type(error).__name__)
                except Exception as error:  # noqa: BLE001 - a mistake in the program must not end it unheard
                    self._failed(f"unexpected {type(error).__name__}: {error}")
                self._stopped.wait(self._pause_s)

    def _opened(self) -> Outer:
        outer = Outer(self._config)
        outer.set.tidy()
        return outer

    def _round(self, outer: Outer) -> None:
        for event in outer.received() if outer.gated else ():
            self._say(str(event))
            self._unerased = self._unerased or event.kind == "applied"
        outer.desk.gathered()
        if self._unerased:
            self._unerased = not outer.erase()
        while not self._stopped.is_set() and outer.make_vectors():
            continue

    @property
    def _pause_s(self) -> float:
        return self._config.gate.poll_s if self._config.gate else 2.0

    def _failed(self, why: str) -> None:
        if why != self.failure:
            self._say(f"following failed: {why}")
        self.failure = why

    def _healed(self) -> None:
        if self.failure:
            self._say("following goes on")
        self.failure = ""
