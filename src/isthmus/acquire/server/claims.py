"""Agents' claims, beats and releases. A claim waits until there is something, is woken the moment there is, and

gives back at once what it leased for an agent that has gone meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from isthmus.acquire.ports import Claimed, Held, Task
from isthmus.acquire.server.metrics import Counts
from isthmus.acquire.server.settings import ServerSettings
from isthmus.acquire.server.threads import LedgerThreads
from isthmus.acquire.server.trust import Callbacks
from isthmus.core.ports import Clock

_MOST_LEASES = 200_000


class Leases:
    """When leases of this server began, to tell how long they took. Forgets the oldest beyond a bound."""

    def __init__(self) -> None:
        self._begun: OrderedDict[tuple[int, int], float] = OrderedDict()

    def began(self, tasks: Sequence[Task]) -> None:
        """Note leases that begin now."""
        now = time.monotonic()
        for task in tasks:
            self._begun[task.request, task.fence] = now
        while len(self._begun) > _MOST_LEASES:
            self._begun.popitem(last=False)

    def ended(self, leases: Iterable[tuple[int, int]]) -> list[float]:
        """Return for how many seconds leases (request, fence) ran, of those that are known here."""
        now = time.monotonic()
        begun = [self._begun.pop(lease, None) for lease in leases]
        return [now - at for at in begun if at is not None]


class Claims:
    """Hands tasks to agents. Belongs to the event loop."""

    def __init__(
        self, threads: LedgerThreads, settings: ServerSettings, clock: Clock, callbacks: Callbacks, counts: Counts
    ) -> None:
        self._threads, self._settings, self._clock = threads, settings, clock
        self._callbacks, self._counts = callbacks, counts
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._closed = False
        self.public_url = settings.public_url
        self.leases = Leases()

    async def claim(
        self, environment: str, agent: str, most: int, wait_s: float, gone: asyncio.Future[None] | None = None
    ) -> Claimed:
        """Lease up to `most` tasks, waiting up to `wait_s` for the first; `gone` is done when nobody listens."""
        until = time.monotonic() + min(wait_s, self._settings.most_wait_s)
        most = min(most, self._settings.most_claimed)
        while True:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(environment, set()).add(woken)  # before looking: what comes now counts
            try:
                tasks = await self._lease(environment, agent, most)
                left = until - time.monotonic()
                if tasks or left <= 0 or self._closed or (gone is not None and gone.done()):
                    break
                listened = {woken} if gone is None else {woken, gone}
                pause = min(left, self._settings.poll_s)
                await asyncio.wait(listened, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                if gone is not None and gone.done():
                    break
            finally:
                self._waiting[environment].discard(woken)
        if tasks and gone is not None and gone.done():
            await self.release(environment, agent, [Held(task.request, task.fence) for task in tasks])
            tasks = []
        self.leases.began(tasks)
        return Claimed(tuple(tasks), self.callback(environment), self._settings.lease_s)

    def callback(self, environment: str) -> str:
        """Return the address to which an environment delivers."""
        return f"{self.public_url.rstrip('/')}/v1/deliveries/{self._callbacks.token(environment)}"

    async def beat(self, environment: str, agent: str, held: Sequence[Held]) -> list[Held]:
        """Prolong leases; return those that are lost."""
        self._heard(environment, agent)
        named, now = _named(environment, agent), self._clock.now()
        return await self._threads.run(self._threads.ledger.beat, named, held, self._settings.lease_s, now)

    async def release(self, environment: str, agent: str, held: Sequence[Held]) -> int:
        """Take leases back."""
        self._heard(environment, agent)
        named, now = _named(environment, agent), self._clock.now()
        count = await self._threads.run(self._threads.ledger.release, named, held, now)
        self.stir([environment])
        return count

    def stir(self, environments: Iterable[str] | None = None) -> None:
        """Say that there may be tasks in some environments, or in all."""
        for environment in list(self._waiting) if environments is None else environments:
            waiting = self._waiting.get(environment, set())
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def close(self) -> None:
        """Let all who wait go home."""
        self._closed = True
        self.stir()

    async def _lease(self, environment: str, agent: str, most: int) -> list[Task]:
        self._heard(environment, agent)
        ledger, now = self._threads.ledger, self._clock.now()
        named = _named(environment, agent)
        return await self._threads.run(ledger.claim, environment, named, most, self._settings.lease_s, now)

    def _heard(self, environment: str, agent: str) -> None:
        self._counts.heard[environment, agent] = self._clock.now()


def _named(environment: str, agent: str) -> str:
    """Name an agent for the ledger: another environment's agent of the same name never touches its leases."""
    return f"{environment}/{agent}"
