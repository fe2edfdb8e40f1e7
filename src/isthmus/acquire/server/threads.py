"""Calls of the ledger, away from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.ports import Event

P = ParamSpec("P")
T = TypeVar("T")

_QUICK, _LONG = 6, 2


class LedgerThreads:
    """Runs calls in a few threads: quick ones, and apart from them those that may take long."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._quick = ThreadPoolExecutor(_QUICK, thread_name_prefix="ledger")
        self._long = ThreadPoolExecutor(_LONG, thread_name_prefix="ledger-long")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that agents or watchers wait for."""
        return await asyncio.get_running_loop().run_in_executor(self._quick, partial(work, *args, **kwargs))

    async def run_long(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that may take a second: it must not stand in the way of the others."""
        return await asyncio.get_running_loop().run_in_executor(self._long, partial(work, *args, **kwargs))

    async def events(self, after: int, most: int, owner: str, batch: str) -> list[Event]:
        """As the ledger's `events`."""
        return await self.run(self.ledger.events, after, most, owner, batch)

    async def latest(self) -> int:
        """As the ledger's `latest`."""
        return await self.run(self.ledger.latest)

    def close(self) -> None:
        """Wait for the calls that run."""
        self._quick.shutdown()
        self._long.shutdown()
