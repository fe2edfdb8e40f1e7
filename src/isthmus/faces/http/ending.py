"""A server whose end by SIGTERM or SIGINT is an ordinary one, from the moment on when it says that it serves."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn

Begun = Callable[[], None]
"""Is told when a server listens and hears signals: who waits for that may end it from then on."""


def no_begun() -> None:
    """Take no notice."""


class EndingServer(uvicorn.Server):
    """Lets go of those who wait, by `let_go`, and then ends; `run` returns. A second SIGINT waits for nobody."""

    def __init__(
        self, config: uvicorn.Config, let_go: Callable[[], Awaitable[None]], begun: Begun = no_begun
    ) -> None:
        super().__init__(config)
        self._let_go, self._begun = let_go, begun
        self._stop = threading.Event()

    def run_until(self, stop: threading.Event, sockets: list[socket.socket]) -> None:
        """Serve on `sockets` until a signal ends it, also one that came before and has set `stop`."""
        self._stop = stop
        self.run(sockets=sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell: signals are heard since `run` was called, and a listener is there now."""
        await super().startup(sockets)
        self.should_exit = self.should_exit or self._stop.is_set()
        if self.started and not self.should_exit:
            self._begun()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let those go who wait, then end the server."""
        await self._let_go()
        await super().shutdown(sockets)
