"""Runs the application of a site's one server: on a socket that is bound already, until a signal ends it."""

from __future__ import annotations

import importlib.util

import uvicorn

from isthmus.faces.http.ending import Begun, EndingServer, no_begun
from isthmus.faces.http.hub.application import HubApplication

_GRACE_S = 5
"""So long requests that are being answered may take at the end. Streams are ended at once."""
_KEEP_S = 75


class HubServer(EndingServer):
    """A server whose end by SIGTERM or SIGINT is an ordinary one: who watches is let go, and `run` returns."""

    def __init__(self, app: HubApplication, certificate: str = "", key: str = "", begun: Begun = no_begun) -> None:
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
            begun,
        )
