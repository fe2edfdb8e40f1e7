"""Runs the application of a site's one server: on a socket that is bound already, until a signal ends it."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable

import uvicorn

from isthmus.faces.http.ending import EndingServer
from isthmus.faces.http.hub.application import HubApplication

_GRACE_S = 5
"""So long requests that are being answered may take at the end. Streams are ended at once."""
_KEEP_S = 75


class HubServer(EndingServer):
    """A server whose end by SIGTERM or SIGINT is an ordinary one: who watches is let go, and `run` returns."""

    def __init__(
        self, app: HubApplication, certificate: str = "", key: str = "", begun: Callable[[], None] = lambda: None
    ) -> None:
        """`begun` is told when it listens, and hears signals: who waits for it may end it from then on."""
        self._begun = begun
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                http="httptools" if importlib.util.find_spec("httptools") else "h11",
                ws="none",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_S,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_certfile=certificate or None,
                ssl_keyfile=key or None,
            ),
            app.end_waiting,
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        self._begun()
