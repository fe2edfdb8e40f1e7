"""Runs the interface server's application: on sockets that are bound already, until a signal ends it."""

from __future__ import annotations

import gc
import importlib.util
import socket
from typing import Literal

import uvicorn

from isthmus.acquire import heap
from isthmus.acquire.server.service import AcquireService
from isthmus.faces.http.acquire.application import application
from isthmus.faces.http.ending import Begun, EndingServer, no_begun

_GRACE_S = 5
"""So long requests that are being answered may take at the end. Claims and streams are ended at once."""
_KEEP_S = 75
"""So long an idle connection is kept: longer than agents are silent."""
_BACKLOG = 2048


class AcquireHttpServer(EndingServer):
    """A server whose end by SIGTERM or SIGINT is an ordinary one: those who wait are let go, and `run` returns."""

    def __init__(
        self, service: AcquireService, certificate: str = "", key: str = "", begun: Begun = no_begun
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application(service),
                log_level="warning",
                access_log=False,
                loop=_fastest_loop(),
                http="httptools" if importlib.util.find_spec("httptools") else "h11",
                ws="websockets-sansio",
                ws_max_size=1 << 16,
                ws_per_message_deflate=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_S,
                timeout_graceful_shutdown=_GRACE_S,
                backlog=_BACKLOG,
                ssl_certfile=certificate or None,
                ssl_keyfile=key or None,
            ),
            service.end_waiting,
            begun,
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; what was loaded until now is left alone by the garbage collector from here on."""
        heap.keep()
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)  # batches of 100,000 small objects come and go: look less often


def _fastest_loop() -> Literal["uvloop", "asyncio"]:
    return "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
