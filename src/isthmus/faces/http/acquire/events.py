"""Push to clients: server-sent events (HTML Living Standard, 9.2), and the same over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from isthmus.acquire.ports import Key
from isthmus.acquire.server.hub import Watcher
from isthmus.acquire.server.service import AcquireService
from isthmus.core.errors import IsthmusError
from isthmus.faces.http import reading
from isthmus.faces.http.acquire import shapes
from isthmus.faces.http.acquire.guard import SEES, key_of
from isthmus.faces.http.streaming import EventStream

HEARTBEAT_S = 15.0
FIRST_MESSAGE_S = 0.25
_MOST_MESSAGE = 4096


class _FirstMessage(msgspec.Struct):
    after: shapes.Number | None = None
    batch: str = ""


class EventDoors:
    """The doors of those who watch."""

    def __init__(self, service: AcquireService) -> None:
        self._service = service

    async def stream(self, request: Request) -> Response:
        """Send events from now on, or after the one that Last-Event-ID names."""
        service = self._service
        key = await key_of(request, service, SEES)
        asked = reading.query(request, shapes.WhichEvents)
        if asked.batch:
            await service.own_batch(key, asked.batch)
        if service.hub.watchers >= service.settings.watchers:
            raise HTTPException(503, "too many watch already", {"retry-after": "10"})
        owner, after = service.sees(key), _after(request, asked.after)

        @contextlib.contextmanager
        def opened() -> Iterator[AsyncIterator[bytes]]:
            with service.hub.watching(owner, asked.batch, after) as watcher:
                yield watcher.chunks(HEARTBEAT_S)

        def broken(error: Exception) -> None:
            service.say("a stream ended", level="warning", error=str(error))

        return EventStream(opened, broken)

    async def socket(self, websocket: WebSocket) -> None:
        """Send the same events as text messages, one each."""
        service = self._service
        try:
            key = await key_of(websocket, service, SEES)
            full = service.hub.watchers >= service.settings.watchers
        except HTTPException as error:
            await websocket.close(4401 if error.status_code == 401 else 4403, error.detail[:120])
            return
        if full:
            await websocket.close(1013)  # try again later (IANA registry of WebSocket close codes)
            return
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await self._talk(websocket, key)

    async def _talk(self, websocket: WebSocket, key: Key) -> None:
        service = self._service
        begun = service.hub.head
        listening = asyncio.ensure_future(websocket.receive())
        await asyncio.wait({listening}, timeout=FIRST_MESSAGE_S)
        first = _FirstMessage()
        if listening.done():
            message = listening.result()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text") or (message.get("bytes") or b"").decode(errors="replace")
            try:
                first = msgspec.json.decode(text[:_MOST_MESSAGE], type=_FirstMessage)
                if first.batch:
                    await service.own_batch(key, first.batch)
            except (msgspec.MsgspecError, ValueError, RecursionError, IsthmusError) as error:
                await websocket.close(1008, str(error)[:120])
                return
            listening = asyncio.ensure_future(websocket.receive())
        after = begun if first.after is None else first.after
        with service.hub.watching(service.sees(key), first.batch, after) as watcher:
            sending = asyncio.ensure_future(_messages(websocket, watcher, service))
            await _until_gone(websocket, listening, sending)


async def _messages(websocket: WebSocket, watcher: Watcher, service: AcquireService) -> None:
    while not service.hub.closed:
        for told in await watcher.next(HEARTBEAT_S):
            await websocket.send_text(told.json.decode())
    await websocket.close(1012)  # the service restarts


async def _until_gone(
    websocket: WebSocket, listening: asyncio.Future[Message], sending: asyncio.Future[None]
) -> None:
    """Send until the client goes; what it says after its first message is passed over."""
    try:
        while True:
            both: set[asyncio.Future[Any]] = {listening, sending}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
                return
            if listening.result()["type"] == "websocket.disconnect":
                return
            listening = asyncio.ensure_future(websocket.receive())
    finally:
        listening.cancel()
        sending.cancel()
        await asyncio.gather(listening, sending, return_exceptions=True)


def _after(request: Request, asked: int | None) -> int | None:
    """Return after which event to begin: the browser's word comes before the address's."""
    given = request.headers.get("last-event-id", "")
    if given and not (given.isdecimal() and len(given) < 19):
        raise HTTPException(422, "the Last-Event-ID is no number of an event")
    return int(given) if given else asked
