"""Keeps set 2 level with the gate while a server runs: receiving and vector making, on a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from isthmus.app.galleries.config import GalleryConfig
from isthmus.app.galleries.outer import Outer
from isthmus.core.errors import IsthmusError

Say = Callable[[str], None]


class Follower:
    """A thread with a site of its own: SQLite connections never cross threads."""

    def __init__(self, config: GalleryConfig, say: Say) -> None:
        self._config, self._say = config, say
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self.failure = ""

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is being done now, and wait for that."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        outer = Outer(self._config)
        poll_s = self._config.need("gate").poll_s
        outer.set.tidy()
        while not self._stopped.is_set():
            self._round(outer)
            self._stopped.wait(poll_s)
        outer.set.close()

    def _round(self, outer: Outer) -> None:
        try:
            for event in outer.received():
                self._say(str(event))
            while not self._stopped.is_set() and outer.make_vectors():
                continue
            self.failure = ""
        except (IsthmusError, OSError) as error:  # told by /health and tried again at the next round
            if str(error) != self.failure:
                self._say(f"following failed: {error}")
            self.failure = str(error) or type(error).__name__
