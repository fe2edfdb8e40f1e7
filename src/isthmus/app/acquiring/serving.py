"""The interface server, wired: its ledger, its filing, its keys, and what it does by itself now and then."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from isthmus.acquire.filing.pool import FilingPool
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.log import Say
from isthmus.acquire.ports import Accepted, Key
from isthmus.acquire.request import Wish
from isthmus.acquire.server.service import AcquireService
from isthmus.acquire.server.trust import FolderTrust
from isthmus.app.acquiring.config import AcquireConfig
from isthmus.app.acquiring.environments import public_url, trusted
from isthmus.app.acquiring.keeping import Keeper
from isthmus.app.acquiring.ledgers import open_ledger
from isthmus.app.acquiring.waking import Waking, wake_of
from isthmus.app.clock import SystemClock
from isthmus.state.files import private_folder, write_private


class SiteService(AcquireService):
    """The service of a site; whoever made it closes its ledger by `release` after it was closed."""

    def __init__(self, config: AcquireConfig, say: Say, url: str = "") -> None:
        """Open the ledger and read the secret; nothing runs yet. `url` is the server's address where port is 0."""
        self.config = config
        self._opened: Ledger = open_ledger(config)
        self._pool = FilingPool(filing_rules(config))
        self._keeping: asyncio.Task[None] | None = None
        self._waking: Waking | None = None
        settings = replace(config.server.server, public_url=url or public_url(config))
        super().__init__(
            self._opened,
            self._pool,
            settings,
            SystemClock(),
            say,
            trust=FolderTrust(trusted(config)),
            folder=config.state_folder,
            secret=_secret(config.state_folder / "server.secret"),
        )

    async def start(self) -> None:
        """Begin. Raises what the ledger, the workers and the disk raise."""
        await self._pool.start()
        await super().start()
        if (wake := wake_of(self.config)) is not None:
            self._waking = Waking(wake, asyncio.get_running_loop(), self._stir)
        keeper = Keeper(self.config, self.ledger, self._pool, self.clock, self.say)
        self._keeping = asyncio.create_task(keeper.run(), name="keeping")

    async def close(self) -> None:
        """End all but the ledger."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._waking is not None:
            await asyncio.to_thread(self._waking.close)
        await super().close()
        await self._pool.close()

    async def accept(
        self, key: Key, wishes: Sequence[Wish], body: bytes, *, label: str = "", once: str = "", trace: str = ""
    ) -> Accepted:
        """Make a batch, and wake the other servers."""
        accepted = await super().accept(key, wishes, body, label=label, once=once, trace=trace)
        self._tell()
        return accepted

    async def steer(self, key: Key, batch: str, step: str, requests: Sequence[int] = (), trace: str = "") -> int:
        """Steer a batch, and wake the other servers."""
        changed = await super().steer(key, batch, step, requests, trace)
        self._tell()
        return changed

    def _settled(self) -> None:
        super()._settled()
        self._tell()

    def _tell(self) -> None:
        if self._waking is not None:
            self._waking.tell()

    def _stir(self) -> None:
        self.claims.stir()
        self.hub.stir()

    def release(self) -> None:
        """Close the ledger."""
        self._opened.close()


def filing_rules(config: AcquireConfig) -> FilingRules:
    """Return the rules of filing, the images' folder as a whole path."""
    rules = config.server.filing
    return replace(rules, root=str(config.place(rules.root)))


def _secret(path: Path) -> bytes:
    """Return what callbacks and sessions are made with; the first time it is made. Servers of a site share it."""
    private_folder(path.parent)
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # another server was first
            write_private(path, secrets.token_bytes(32))
    return path.read_bytes()
