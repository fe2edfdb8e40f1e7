"""What stands before the whole application: names it answers to, the audit log, the end of streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.app.people.person import Person
from isthmus.app.people.trail import Actor
from isthmus.faces.http.answers import problem
from isthmus.faces.http.hub.guard import SAFE, SessionGuard

LOOKED_S = 10.0
"""So often it is looked whether who watches a stream still may."""


class Threshold:
    """An ASGI layer around the application.

    It refuses calls by a name that the server does not answer to. It notes every change in the audit log: a call
    that is neither GET, HEAD nor OPTIONS, by somebody whom the guard knows; what was refused, too. An endpoint
    whose change is noted in more words, or that changes nothing (a question sent by POST), sets
    `request.state.noted`. And it ends a stream of events whose session or key has ended, or has another role.
    """

    def __init__(self, app: ASGIApp, guard: SessionGuard, passed: Callable[[], float] = time.monotonic) -> None:
        """`passed` is a clock that only grows, in seconds."""
        self._app, self._guard, self._passed = app, guard, passed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not self._guard.named(Headers(scope=scope).get("host", "")):
            await problem(421, "this server does not answer to that name")(scope, receive, send)
            return
        scope.setdefault("state", {})
        unnoted = scope["type"] == "http" and scope["method"] not in SAFE
        stream = _Stream(self._guard, scope, self._passed)

        async def sending(message: Message) -> None:
            nonlocal unnoted
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                if unnoted:
                    unnoted = False  # first: what was answered is never unnoted
                    await self._note(scope, message["status"], headers.get("location", ""))
                stream.begin(headers.get("content-type", ""))
            elif stream.over:
                return
            elif await stream.must_end():
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            if unnoted:
                await self._note(scope, 0, "")

    async def _note(self, scope: Scope, status: int, place: str) -> None:
        actor: Actor | None = scope["state"].get("actor")
        if actor is None or scope["state"].get("noted"):
            return
        act, subject = told(scope["method"], scope["path"], place)
        await self._guard.desk.ask(lambda access: access.trail.note(actor, act, subject, _outcome(status)))


class _Stream:
    """A stream of events to somebody: looked at again and again, and over once they may not watch any more."""

    def __init__(self, guard: SessionGuard, scope: Scope, passed: Callable[[], float]) -> None:
        self._guard, self._scope, self._passed = guard, scope, passed
        self._on, self.over, self._looked = False, False, 0.0

    def begin(self, media: str) -> None:
        self._on = media.startswith("text/event-stream")
        self._looked = self._passed()

    async def must_end(self) -> bool:
        if not self._on or self._passed() - self._looked < LOOKED_S:
            return False
        self._looked = self._passed()
        before: Person | None = self._scope["state"].get("entered")
        self.over = before is not None and before != await self._guard.who(
            HTTPConnection(self._scope), quietly=True
        )
        return self.over


def told(method: str, path: str, place: str = "") -> tuple[str, str]:
    """Return how a call stands in the audit log: its act, and its subject.

    An operation stands there by its name and its work, which `place`, where the answer leads, ends with.
    """
    for begin in ("/v1/operations/", "/act/"):
        if path.startswith(begin):
            work = urlsplit(place).path.rstrip("/").rpartition("/")[2]
            return path.removeprefix(begin).replace("-", " "), work
    return method, path


def _outcome(status: int) -> str:
    if status == 202:
        return "begun"
    if 200 <= status < 400:
        return "done"
    return f"refused: {status}" if 400 <= status < 500 else f"failed: {status}" if status else "broken off"
