"""Many small calls become few large ones: what comes while a call runs goes together into the next one.

A call that comes alone goes alone, at once. Where a pause is set, what comes within it after the last call waits
for its end, too: a transaction costs as much as twenty images, and under load more are always about to come.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Gathering(Generic[A, B]):
    """Gathers concurrent calls of `work`, which answers a list in its order. For one event loop."""

    def __init__(
        self, work: Callable[[list[A]], Awaitable[Sequence[B]]], most: int = 1024, pause_s: float = 0.0
    ) -> None:
        """Gather for `work`; one call of it gets about `most` things at most.

        Calls begin at least `pause_s` apart, but for one that gets `most`.
        """
        self._work, self._most, self._pause_s = work, most, pause_s
        self._size = 0
        self._begun = float("-inf")
        self._full = asyncio.Event()
        self._waiting: list[tuple[Sequence[A], asyncio.Future[list[B]]]] = []
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, things: Sequence[A]) -> list[B]:
        """Answer for `things`, in their order. Raises what `work` raises."""
        if not things:
            return []
        answer: asyncio.Future[list[B]] = asyncio.get_running_loop().create_future()
        self._waiting.append((things, answer))
        self._size += len(things)
        if self._size >= self._most:
            self._full.set()
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._rest()
                taken: list[tuple[Sequence[A], asyncio.Future[list[B]]]] = []
                size = 0
                while self._waiting and (not taken or size + len(self._waiting[0][0]) <= self._most):
                    taken.append(self._waiting.pop(0))
                    size += len(taken[-1][0])
                self._size -= size
                await self._answer(taken)
        finally:
            self._running = None

    async def _rest(self) -> None:
        """Wait until the last call began long enough ago, or enough is there."""
        left = self._begun + self._pause_s - time.monotonic()
        if left > 0 and self._size < self._most:
            self._full.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._full.wait()
        self._begun = time.monotonic()

    async def _answer(self, taken: list[tuple[Sequence[A], asyncio.Future[list[B]]]]) -> None:
        try:
            answers = await self._work([thing for things, _ in taken for thing in things])
        except Exception as error:  # noqa: BLE001 - it is handed to everybody who waits for this call
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
            return
        except BaseException:
            for _, future in taken:
                future.cancel()
            raise
        begin = 0
        for things, future in taken:
            if not future.done():
                future.set_result(list(answers[begin : begin + len(things)]))
            begin += len(things)
