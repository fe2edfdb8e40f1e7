"""Draws the thumbnails that requests ask for, after their images were filed, while nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from isthmus.acquire.filing_port import Filing
from isthmus.acquire.image import Filed
from isthmus.acquire.log import Say
from isthmus.core.errors import IsthmusError

_MOST_WAITING = 10_000
_AT_ONCE = 2


class Drawing:
    """What is to be drawn ahead. What does not fit, or fails, is drawn when it is first asked for."""

    def __init__(self, filing: Filing, say: Say) -> None:
        self._filing, self._say = filing, say
        self._waiting: list[tuple[Filed, int]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def want(self, filed: Filed, edges: Sequence[int]) -> None:
        """Have thumbnails of an image drawn, by their longest edges in pixels. Returns at once."""
        room = _MOST_WAITING - len(self._waiting)
        self._waiting += [(filed, edge) for edge in edges[:room]]
        while self._waiting and len(self._tasks) < _AT_ONCE:
            task = asyncio.create_task(self._draw(), name="drawing")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            if len(self._tasks) >= len(self._waiting):
                break

    async def close(self) -> None:
        """Draw no more."""
        self._waiting.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _draw(self) -> None:
        while self._waiting:
            filed, edge = self._waiting.pop()
            try:
                await self._filing.thumbnail(filed, edge)
            except (IsthmusError, OSError) as error:
                self._say("drawing failed", level="error", digest=filed.digest, edge=edge, error=str(error))
