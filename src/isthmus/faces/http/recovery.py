"""Recovery's server: the door that the other site brings and fetches files by, and how the rounds stand.

    /v1/carry/out/…, /v1/carry/in/…   the carrying door of the places that are folders of this site (see `carry`)
    GET /health                       200, or 503 with the reason while the turns fail
    GET /v1/recovery                  role, epoch, what is shown, and the product's progress, as JSON
    GET /metrics                      the same for Prometheus

The door's roads open by its token alone; the other answers tell names of rounds, never of rows.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from isthmus.app.recovery.config import RecoveryConfig
from isthmus.app.recovery.serving import Turns
from isthmus.app.recovery.site import token_of
from isthmus.core.errors import InputError
from isthmus.core.prometheus import CONTENT_TYPE, exposition
from isthmus.faces.http.carry import CarryHttpServer, Road
from isthmus.faces.http.ending import Begun, no_begun
from isthmus.transfer.inbox import Caps, Inbox


class RecoveryHttpServer(CarryHttpServer):
    """A server whose end by SIGTERM or SIGINT is an ordinary one: `run` returns."""

    begun: Begun = staticmethod(no_begun)
    stop = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        self.should_exit = self.should_exit or self.stop.is_set()
        if self.started and not self.should_exit:
            self.begun()

    def run_until(self, stop: threading.Event, sockets: list[socket.socket]) -> None:
        """Serve on `sockets` until a signal ends it, also one that came before and has set `stop`."""
        self.stop = stop
        self.run(sockets=sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second SIGINT waits for nobody."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def recovery_server(config: RecoveryConfig, turns: Turns, begun: Begun = no_begun) -> RecoveryHttpServer:
    """Build the server of a site that has a door; `begun` is told when it listens and hears signals.

    Raises InputError where its token or its host will not do.
    """
    part, door = config.recovery, config.recovery.door
    if door is None:
        raise InputError(f"{config.path} has no [recovery.door]", "add it where the other site is to come here")
    token = token_of(door.token_file, door.token_env, "[recovery.door]")
    caps = Caps(most_bytes=int(part.carry.most_staged_gb * 1e9))
    roads = {
        name: Road.of(Inbox(Path(place), caps), token)
        for name, place in (("out", part.out_place), ("in", part.in_place))
        if "://" not in place
    }
    server = RecoveryHttpServer(
        roads, door.host, door.port, door.tls_certificate, door.tls_key, say=turns.say, beside=list(_doors(turns))
    )
    server.begun = begun
    return server


def _doors(turns: Turns) -> Iterator[Route]:
    async def health(_: Request) -> Response:
        why = turns.failure
        return JSONResponse({"status": "failing" if why else "ok", "why": why}, 503 if why else 200)

    async def told(_: Request) -> Response:
        return JSONResponse(turns.told)

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(exposition(turns.metrics()), media_type=CONTENT_TYPE)

    yield Route("/health", health)
    yield Route("/v1/recovery", told)
    yield Route("/metrics", metrics)


__all__ = ["RecoveryHttpServer", "recovery_server"]
