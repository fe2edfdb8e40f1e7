"""A server whose end by SIGTERM or SIGINT is an ordinary one."""

from __future__ import annotations

import signal
import socket
from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn


class EndingServer(uvicorn.Server):
    """Lets go of those who wait, by `let_go`, and then ends; `run` returns. A second SIGINT waits for nobody."""

    def __init__(self, config: uvicorn.Config, let_go: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._let_go = let_go

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let those go who wait, then end the server."""
        await self._let_go()
        await super().shutdown(sockets)
