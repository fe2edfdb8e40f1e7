"""Runs the sync server's application: on a socket that is bound already, until a signal ends it."""

from __future__ import annotations

import uvicorn

from isthmus.app.galleries.serving import SyncService
from isthmus.faces.http.ending import Begun, EndingServer, no_begun
from isthmus.faces.http.sync import application

_GRACE_S = 3
"""So long requests that are being answered may take at the end. Sessions are ended at once: they resume."""


class SyncHttpServer(EndingServer):
    """A server whose end by SIGTERM or SIGINT is an ordinary one: sessions end first, and `run` returns."""

    def __init__(
        self, service: SyncService, certificate: str = "", key: str = "", begun: Begun = no_begun
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application(service),
                log_level="warning",
                access_log=False,
                ws="websockets-sansio",
                ws_max_size=1 << 20,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_certfile=certificate or None,
                ssl_keyfile=key or None,
            ),
            service.end_sessions,
            begun,
        )
