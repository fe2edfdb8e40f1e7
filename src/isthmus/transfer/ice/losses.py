"""Keeps an engine's own tasks from printing tracebacks when the network goes away under them.

aiortc goes on sending in tasks of its own after the other end has gone; what they raise is told to nobody but the
event loop, which prints it. The channel tells of the loss itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

_ENGINES = ("aiortc", "aioice")


def expect_losses(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop pass over errors of sending, and of the engine's own tasks; all others are told as before."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task = context.get("future")
        made_of = getattr(task.get_coro(), "cr_code", None) if isinstance(task, asyncio.Task) else None
        engines = made_of is not None and any(name in made_of.co_filename for name in _ENGINES)
        if engines or (task is not None and isinstance(context.get("exception"), OSError)):
            return
        loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
