"""What an interface server does by itself now and then: removes what is too old, forgets, has rows written."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from isthmus.acquire.filing import retention
from isthmus.acquire.filing.pool import FilingPool
from isthmus.acquire.filing.retention import Keeping
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.log import Say
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.core.errors import IsthmusError
from isthmus.core.ports import Clock

_FORGOTTEN_AT_ONCE = 10_000
_TIDY_S = 86_400.0
_ROWS_S = 3600.0
"""A process that writes rows and takes longer is ended: it goes on when it is started again."""


class Keeper:
    """Keeps a server's images, ledger and rows as the TOML says, until it is stopped."""

    def __init__(self, config: AcquireConfig, ledger: Ledger, pool: FilingPool, clock: Clock, say: Say) -> None:
        self._config, self._ledger, self._pool, self._clock, self._say = config, ledger, pool, clock, say
        self._part = config.server.keep
        self._removed = False
        self._tidied = time.monotonic()

    async def run(self) -> None:
        """Work for ever. What fails is told and tried again at its next time."""
        await asyncio.gather(self._each(self._part.every_s, self.keep), self._each(self._part.rows_s, self.rows))

    async def keep(self) -> None:
        """Remove images and forget batches whose time has come."""
        now = self._clock.now()
        gone = await retention.keep(self._ledger, self._pool, Keeping(self._part.days, self._part.gigabytes), now)
        if gone.requests:
            self._removed = True
            self._say("removed", images=gone.requests, freed_bytes=gone.freed)
        if self._part.requests_days:
            before = now - timedelta(days=self._part.requests_days)
            forgotten = 0
            while count := await asyncio.to_thread(self._ledger.purge, before, _FORGOTTEN_AT_ONCE):
                forgotten += count
            if forgotten:
                self._say("forgotten", requests=forgotten)
        if time.monotonic() - self._tidied > _TIDY_S:
            self._tidied = time.monotonic()
            self._say("tidied", freed_bytes=await retention.tidy(self._ledger, self._pool))

    async def rows(self) -> None:
        """Have rows written by a process of its own: the warehouse's memory is not the server's."""
        removed, self._removed = self._removed, False
        words = ["--site", str(self._config.path), "acquire", "rows", *(["--removed"] if removed else [])]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "isthmus",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_ROWS_S):
                _, said = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            self._removed = self._removed or removed
            last = said.decode(errors="replace").strip().rpartition("\n")[2]
            self._say("writing rows failed", level="error", error=last)

    async def _each(self, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
        if not every_s:
            return
        while True:
            await asyncio.sleep(every_s)
            try:
                await work()
            except (IsthmusError, OSError, TimeoutError) as error:
                self._say("keeping failed", level="error", error=str(error))
