"""Retention: images leave by age and by size, ended batches are forgotten by age; oldest first, in portions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from isthmus.acquire.filing_port import Filing
from isthmus.acquire.server.settings import ServerSettings
from isthmus.acquire.server.threads import LedgerThreads

_PORTION = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """What a round did: images removed, bytes freed, requests forgotten."""

    images: int = 0
    freed_bytes: int = 0
    forgotten: int = 0


async def keep(threads: LedgerThreads, filing: Filing, settings: ServerSettings, now: datetime) -> Kept:
    """Remove one portion of what is too old or too much. Raises what the ledger and the disk raise.

    The ledger is told first: where the server dies in between, a file is left that nobody asks for, and never an
    image in a list whose file has gone.
    """
    images = freed = forgotten = 0
    ledger = threads.ledger
    before = now - timedelta(days=settings.keep_days) if settings.keep_days else None
    beyond = settings.keep_bytes or None
    if before is not None or beyond is not None:
        lines = await threads.run_long(ledger.removable, before, beyond, _PORTION)
        if lines:
            contents = await threads.run_long(ledger.removed, [line.request for line in lines], now)
            freed = await filing.remove(lines, contents)
            images = len(lines)
    if settings.forget_days:
        forgotten = await threads.run_long(ledger.purge, now - timedelta(days=settings.forget_days), _PORTION)
    return Kept(images, freed, forgotten)
