"""Answers without an end: server-sent events (HTML Living Standard, 9.2), until one of both sides goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from isthmus.core.errors import IsthmusError

_HELLO = b"retry: 2000\n: watching\n\n"
_HEARTBEAT = b": still here\n\n"

Opened = Callable[[], AbstractContextManager[AsyncIterator[bytes]]]
"""Begins to watch: blocks of text/event-stream, an empty one now and then to keep the line open."""


class EventStream(Response):
    """A response of blocks as they come."""

    media_type = "text/event-stream"

    def __init__(self, opened: Opened, broken: Callable[[Exception], None]) -> None:
        """`broken` is told where watching ended by an error: the client asks again, after its last event."""
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._opened, self._broken = opened, broken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the client goes or the server ends."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        with self._opened() as blocks:
            sending = asyncio.ensure_future(_send(blocks, send))
            listening = asyncio.ensure_future(_gone(receive))
            try:
                await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sending.cancel()
                listening.cancel()
                ended, _ = await asyncio.gather(sending, listening, return_exceptions=True)
        if isinstance(ended, (IsthmusError, OSError)):
            self._broken(ended)
        elif isinstance(ended, Exception):
            raise ended


async def _send(blocks: AsyncIterator[bytes], send: Send) -> None:
    await send({"type": "http.response.body", "body": _HELLO, "more_body": True})
    async for block in blocks:
        await send({"type": "http.response.body", "body": block or _HEARTBEAT, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
