"""An ASGI layer that lets no body be longer, or come more slowly, than the place that it is sent to allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Most = Callable[[str], int]
"""Returns how many bytes a body may have that is sent to a path."""


class Bounding:
    """Bounds the bodies of calls. What reads the body is told by an HTTPException, 413 or 408."""

    def __init__(self, app: ASGIApp, most: Most, silent_s: float = 30.0) -> None:
        self._app, self._most, self._silent_s = app, most, silent_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most, size, whole = self._most(scope["path"]), 0, False

        async def receiving() -> Message:
            nonlocal size, whole
            if whole:  # what comes now is that the client goes: for that a stream waits long
                return await receive()
            try:
                async with asyncio.timeout(self._silent_s):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, "the body did not come in time", {"connection": "close"}) from error
            size += len(message.get("body", b""))
            if size > most:
                raise HTTPException(
                    413, f"a body of at most {most:,} bytes is taken here", {"connection": "close"}
                )
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, receiving, send)
