"""A stream of events is watched for hours: it ends with the session or key that opened it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.people.access import Access
from isthmus.app.people.person import Role
from isthmus.faces.http.hub.threshold import LOOKED_S, Threshold
from people_making import SHELL, Served, enter, served


@pytest.fixture
def site(tmp_path: Path) -> Served:
    return served(tmp_path, {"ada": Role.ADMIN, "vera": Role.OPERATOR})


def watched(site: Served, headers: dict[str, str], change: Callable[[Access], Any], media: str) -> list[bytes]:
    """Open a stream that tells one thing before `change` and two after it; returns what came of it."""
    come: list[bytes] = []
    passed = [0.0]

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import Request

        await site.guard.need(Request(scope, receive), Role.VIEWER)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", media.encode())]})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        with site.access() as access:
            change(access)
        await send({"type": "http.response.body", "body": b"two", "more_body": True})
        passed[0] += LOOKED_S
        await send({"type": "http.response.body", "body": b"three", "more_body": True})
        await send({"type": "http.response.body", "body": b"four", "more_body": True})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            come.append(message["body"] if message.get("more_body") else b"end")

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/events",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1"), *((name.encode(), text.encode()) for name, text in headers.items())],
    }
    asyncio.run(Threshold(stream, site.guard, lambda: passed[0])(scope, receive, send))
    return come


def session(site: Served, name: str = "vera") -> tuple[str, dict[str, str]]:
    with site.access() as access:
        token = enter(access, name)
    return token, {"cookie": f"{site.guard.cookie}={token}"}


STREAM = "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("act", ["logout", "password", "remove", "role", "age"])
def test_a_stream_ends_soon_after_the_session_that_opened_it(site: Served, act: str) -> None:
    token, headers = session(site)

    def change(access: Access) -> None:
        if act == "logout":
            access.log_out(token, "10.0.0.1")
        elif act == "password":
            access.people.set_password("vera", "x", SHELL)
        elif act == "remove":
            access.people.remove("vera", SHELL)
        elif act == "role":
            access.people.set_role("vera", Role.VIEWER, SHELL)
        else:
            site.clock.move(13 * 3600)

    assert watched(site, headers, change, STREAM) == [b"one", b"two", b"end"]


def test_a_stream_ends_soon_after_its_key_was_revoked(site: Served) -> None:
    with site.access() as access:
        text = access.keys.add("ci", Role.VIEWER, SHELL).text
    headers = {"authorization": f"Bearer {text}"}
    assert watched(site, headers, lambda access: access.keys.revoke("ci", SHELL), STREAM)[-1] == b"end"


def test_a_stream_goes_on_while_its_session_does_and_a_download_is_not_cut(site: Served) -> None:
    token, headers = session(site)
    whole = [b"one", b"two", b"three", b"four"]
    assert watched(site, headers, lambda access: None, STREAM) == whole
    assert watched(site, headers, lambda access: access.log_out(token, ""), "application/octet-stream") == whole


def test_who_only_watches_is_idle(site: Served) -> None:
    token, headers = session(site)
    site.clock.move(3000)
    assert watched(site, headers, lambda access: site.clock.move(500), STREAM)[-1] == b"four"
    site.clock.move(3000)
    assert asyncio.run(asking(site, token)), "the call that opened the stream counted as asking"
    site.clock.move(3500)
    assert watched(site, headers, lambda access: site.clock.move(3000), STREAM)[-1] == b"four"
    site.clock.move(700)
    assert not asyncio.run(asking(site, token)), "and what was sent to it did not"


async def asking(site: Served, token: str) -> bool:
    return await site.guard.desk.ask(lambda access: access.sessions.person(token)) is not None
