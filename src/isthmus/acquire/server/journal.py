"""The audit log of acquiring, in a file of its own: who asked for what, steered what, made or revoked keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from isthmus.acquire.server.gathering import Gathering
from isthmus.core.ports import Clock
from isthmus.state.audit import Audit, AuditEntry
from isthmus.state.store import Store


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that somebody did. `subject` is a batch or a key; `detail` what else is to be known."""

    who: str
    act: str
    subject: str
    detail: str = ""


class Journal:
    """Writes acts down, durably: those that come together in one transaction. Has a thread of its own."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open the file. Raises Corrupt, OSError."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._store, self._audit = self._thread.submit(self._open, path, clock).result()
        self._gathering: Gathering[Act, None] = Gathering(self._write)

    async def note(self, who: str, act: str, subject: str, detail: str = "") -> None:
        """Write an act down. Raises Busy, OSError."""
        await self._gathering([Act(who, act, subject, detail)])

    async def entries(self, after: int, most: int) -> list[AuditEntry]:
        """Return the acts after a number, oldest first."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._audit.entries, after, most)

    def close(self) -> None:
        """Close the file."""
        self._thread.submit(self._store.close).result()
        self._thread.shutdown()

    async def _write(self, acts: Sequence[Act]) -> Sequence[None]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._put, acts)

    def _put(self, acts: Sequence[Act]) -> Sequence[None]:
        with self._store.transaction() as connection:
            for one in acts:
                self._audit.note(one.who, one.act, subject=one.subject, detail=one.detail, connection=connection)
        return [None] * len(acts)

    @staticmethod
    def _open(path: Path, clock: Clock) -> tuple[Store, Audit]:
        store = Store(path)
        return store, Audit(store, clock)
