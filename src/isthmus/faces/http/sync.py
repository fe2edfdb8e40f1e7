"""The sync server's doors: health, status, metrics, enrolment, and the signalling that devices call through.

Status tells names and counts, never images. Errors are problem details (RFC 9457).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from isthmus.app.galleries.serving import SyncService
from isthmus.core.errors import IsthmusError, Refused
from isthmus.core.prometheus import CONTENT_TYPE
from isthmus.faces.http import metrics
from isthmus.gallery.enrolment import MOST_BODY_BYTES
from isthmus.transfer.channel import Channel
from isthmus.transfer.ice.losses import expect_losses
from isthmus.transfer.ice.signalling import accept, of_starlette
from isthmus.transfer.signing import PublicKey

_BODY_S = 10.0
_AT_ONCE = 64
"""So many devices may be connected at once, and so many connecting; others are told to come later."""
_FROM_ONE_ADDRESS = 8
"""So many of those connecting, whom nobody knows yet, may come from one address."""


def application(service: SyncService) -> Starlette:
    """Build the ASGI application around a service, which it starts and ends."""

    @contextlib.asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        expect_losses(asyncio.get_running_loop())
        service.follower.start()
        try:
            yield
        finally:
            await service.close()

    doors = _Doors(service)
    return Starlette(
        routes=[
            Route("/health", doors.health),
            Route("/v1/status", doors.status),
            Route("/metrics", doors.metrics),
            Route("/v1/devices/enrol", doors.enrol, methods=["POST"]),
            WebSocketRoute("/v1/signal", doors.signal),
        ],
        exception_handlers={HTTPException: _refused, IsthmusError: _failing, OSError: _failing},
        lifespan=living,
    )


class _Doors:
    def __init__(self, service: SyncService) -> None:
        self._service = service
        self._connecting: Counter[str] = Counter()

    async def health(self, _: Request) -> Response:
        well, why = await self._service.healthy()
        return JSONResponse({"status": "ok" if well else "failing", "why": why}, 200 if well else 503)

    async def status(self, _: Request) -> Response:
        return JSONResponse(await self._service.status())

    async def metrics(self, _: Request) -> Response:
        status = await self._service.status()
        return PlainTextResponse(metrics.exposition(status), media_type=CONTENT_TYPE)

    async def enrol(self, request: Request) -> Response:
        body = b""
        try:
            async with asyncio.timeout(_BODY_S):
                async for piece in request.stream():
                    body += piece
                    if len(body) > MOST_BODY_BYTES:
                        return problem(413, "an enrolment is smaller than that")
        except TimeoutError:
            return problem(408, "the enrolment did not come in time")
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        try:
            return Response(self._service.enrol(body), media_type="application/json")
        except Refused as error:
            self._service.say(f"enrolment refused: {error}")
            return problem(403, error.what, error.hint)

    async def signal(self, websocket: WebSocket) -> None:
        address = websocket.client.host if websocket.client else ""
        full = len(self._service.active) >= _AT_ONCE or self._connecting.total() >= _AT_ONCE
        if full or self._connecting[address] >= _FROM_ONE_ADDRESS:
            await websocket.close(1013)  # try again later (RFC 6455, IANA registry)
            return
        self._connecting[address] += 1
        try:
            await websocket.accept()
            known = await self._known(websocket)
        finally:
            self._connecting[address] -= 1
            self._connecting += Counter()  # those at 0 leave
        if known is None:
            return
        task = asyncio.create_task(self._service.session(*known))
        self._service.active.add(task)
        task.add_done_callback(self._service.active.discard)
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            self._service.say(f"a session ended by {type(error).__name__}: {error}")

    async def _known(self, websocket: WebSocket) -> tuple[str, PublicKey, Channel] | None:
        """Let a device in: its name, the key it proved, its channel; None, and told so, where it may not."""
        service = self._service
        receive, send = of_starlette(websocket)
        proved: dict[str, PublicKey] = {}

        def known(device: str) -> PublicKey | None:  # connecting takes seconds: another may have the name after it
            if key := service.known(device):
                proved[device] = key
            return key

        try:
            name, channel = await accept(receive, send, known, service.key, service.config.ice)
        except IsthmusError as error:
            service.counts.refused += 1
            service.say(f"a device was not connected: {error}")
            return None
        else:
            return name, proved[name], channel
        finally:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect, OSError):  # the other side was faster
                await websocket.close()


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = problem(error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer


async def _failing(_: Request, error: Exception) -> Response:
    what, hint = (error.what, error.hint) if isinstance(error, IsthmusError) else (str(error), "")
    return problem(503, what, hint)


def problem(status: int, title: str, detail: str = "") -> Response:
    """Answer with problem details (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")
