"""Keeps an engine's own tasks from printing tracebacks when the network goes away under them.

aiortc goes on sending in tasks of its own after the other end has gone; what they raise is told to nobody but the
event loop, which prints it. The channel tells of the loss itself.
"""

from __future__ import annotations

import asyncio
from typing import Any


def expect_losses(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop pass over errors of sending in tasks that nobody waits for; all others are told as before."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "future" in context and isinstance(context.get("exception"), OSError):
            return
        loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
