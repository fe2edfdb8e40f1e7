"""Servers that share a ledger wake each other; a wake that is lost costs no more than a look at the ledger."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from isthmus.acquire.queue.wake import NatsWake, PostgresWake, Wake
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.app.acquiring.ledgers import dsn_of

_TOPIC = "acquire"
_LOOK_S = 1.0


def wake_of(config: AcquireConfig) -> Wake | None:
    """Open what wakes the servers of a site; None where one server has the ledger for itself.

    Raises MissingExtra, InputError where an address is none. A carrier that is away is waited for.
    """
    part = config.server
    if part.nats:
        return NatsWake(part.nats)
    return PostgresWake(dsn_of(config)) if part.shared else None


class Waking:
    """Tells others that something changed, and calls `stir` on an event loop when they tell. Two threads."""

    def __init__(self, wake: Wake, loop: asyncio.AbstractEventLoop, stir: Callable[[], None]) -> None:
        self._wake, self._loop, self._stir = wake, loop, stir
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._speak)]
        for thread in self._threads:
            thread.start()

    def tell(self) -> None:
        """Say that something changed. Returns at once; many in a row become one."""
        self._changed.set()

    def close(self) -> None:
        """End both threads and the carrier."""
        self._closing.set()
        self._changed.set()
        self._wake.close()
        for thread in self._threads:
            thread.join()

    def _listen(self) -> None:
        while not self._closing.is_set():
            if self._wake.wait(_TOPIC, _LOOK_S) and not self._closing.is_set():
                self._loop.call_soon_threadsafe(self._stir)

    def _speak(self) -> None:
        while not self._closing.is_set():
            self._changed.wait()
            self._changed.clear()
            if not self._closing.is_set():
                self._wake.tell(_TOPIC)
