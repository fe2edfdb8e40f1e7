"""Keeps images for so long, or so many of them: the oldest go first, with their rows in the ledger told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from isthmus.acquire.filing.pool import FilingPool
from isthmus.acquire.filing.removal import restore, tidy_contents
from isthmus.acquire.ledger_port import Ledger
from isthmus.core.settings import setting

_ROUND = 500
_MOST_ROUNDS = 20_000


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long images are kept. Nothing is removed by what is 0."""

    days: float = setting("images are removed so long after they were filed; 0: never", default=0.0, minimum=0)
    gigabytes: float = setting(
        "the oldest images are removed when all are larger; 0: never", default=0.0, minimum=0, unit="GB"
    )

    def before(self, now: datetime) -> datetime | None:
        """Images filed before it are to go."""
        return now - timedelta(days=self.days) if self.days else None

    @property
    def most_bytes(self) -> int | None:
        """What all images may have together."""
        return int(self.gigabytes * 1e9) if self.gigabytes else None


@dataclass(frozen=True, slots=True)
class Removed:
    """How many requests lost their images, and the bytes that this freed."""

    requests: int
    freed: int


async def keep(ledger: Ledger, filing: FilingPool, keeping: Keeping, now: datetime) -> Removed:
    """Remove what is too old or too much; in steps that can end anywhere and be done again."""
    before, most_bytes = keeping.before(now), keeping.most_bytes
    requests = freed = 0
    if before is None and most_bytes is None:
        return Removed(0, 0)
    for _ in range(_MOST_ROUNDS):
        lines = await asyncio.to_thread(ledger.removable, before, most_bytes, _ROUND)
        if not lines:
            break
        freed += await filing.remove(lines, ())
        contents = await asyncio.to_thread(ledger.removed, [line.request for line in lines], now)
        freed += await filing.remove((), contents)
        requests += len(lines)
        gone = set(contents)
        for digest in {line.filed.digest for line in lines if line.filed is not None} - gone:
            await asyncio.to_thread(_restore, ledger, filing, digest)
    return Removed(requests, freed)


async def tidy(ledger: Ledger, filing: FilingPool) -> int:
    """Remove contents that a death left without a path or a request; return the bytes freed."""
    return await asyncio.to_thread(
        tidy_contents, filing.rules.folder, lambda digest: ledger.filed(digest) is not None
    )


def _restore(ledger: Ledger, filing: FilingPool, digest: str) -> None:
    """Give a path that went with a removed request back to another request that shares it."""
    filed = ledger.filed(digest)
    if filed is not None:
        restore(filing.rules.folder, filed)
