"""What surrounds every door: the trace that goes through the logs, the security headers, the access log."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.acquire.log import Say

_TRACE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SECRET = re.compile(r"^(/v1/deliveries/)[^/]+")
_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Surrounding:
    """An ASGI layer around the application."""

    def __init__(self, app: ASGIApp, say: Say, more: Mapping[str, str] | None = None) -> None:
        """`more` are headers beside those that every answer has."""
        self._app, self._say, self._headers = app, say, {**_HEADERS, **(more or {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through, with a trace: the caller's X-Request-ID where it is a decent one, else a new one."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        trace = given if _TRACE.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["trace"] = trace
        begun, status = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = trace
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            path = _SECRET.sub(r"\1…", scope["path"])
            took_ms = round((time.monotonic() - begun) * 1000, 1)
            self._say(
                "answered", trace=trace, method=scope.get("method", "WS"), path=path, status=status, ms=took_ms
            )
