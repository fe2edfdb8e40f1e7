"""A thread with a site of its own, for questions that take long to answer: the event loop goes on meanwhile.

Thousands of staged files or devices take a tenth of a second and more to be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from isthmus.app.galleries.config import GalleryConfig
from isthmus.app.galleries.outer import Outer

T = TypeVar("T")


class Aside:
    """Answers one question after the other."""

    def __init__(self, config: GalleryConfig) -> None:
        self._config = config
        self._thread = ThreadPoolExecutor(1, "aside")
        self._outer: Outer | None = None

    async def ask(self, question: Callable[[Outer], T]) -> T:
        """Have a question answered on the thread. Raises what the question raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answered, question)

    def close(self) -> None:
        """End the thread after the question that is being answered."""
        self._thread.submit(self._closed)
        self._thread.shutdown()

    def _answered(self, question: Callable[[Outer], T]) -> T:
        if self._outer is None:
            self._outer = Outer(self._config)
        return question(self._outer)

    def _closed(self) -> None:
        if self._outer is not None:
            self._outer.close()
