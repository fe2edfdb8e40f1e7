"""The layers around all doors: bounds of bodies, headers, pages of lists."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from isthmus.acquire.log import silent
from isthmus.faces.http.bounding import Bounding
from isthmus.faces.http.hub.paging import Paged, cursor, key_of, page, part
from isthmus.faces.http.layers import Surrounding


async def _whole(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


def answered(
    pieces: list[bytes], *, silent_s: float = 30.0, more: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Send a body in pieces; after the last one nothing comes where it is None."""
    app = Starlette(
        routes=[Route("/", _whole, methods=["POST"])],
        middleware=[
            Middleware(Surrounding, say=silent, more=more or {}),
            Middleware(Bounding, most=lambda path: 10, silent_s=silent_s),
        ],
    )
    told: list[Message] = []
    waiting = [*pieces]

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or silent_s < 1}

    async def send(message: Message) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [],
        "query_string": b"",
        "http_version": "1.1",
    }
    asyncio.run(app(scope, receive, send))
    return told[0]["status"], dict(told[0]["headers"])


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=5))
def test_a_body_is_taken_up_to_its_bound_however_it_comes(pieces: list[bytes]) -> None:
    assert answered(pieces)[0] == (200 if sum(map(len, pieces)) <= 10 else 413)


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    status, headers = answered([b"a"], silent_s=0.01)
    assert (status, headers[b"connection"]) == (408, b"close")


def test_browsers_are_told_to_come_by_tls_alone_where_there_is_tls() -> None:
    assert b"strict-transport-security" not in answered([b""])[1]
    more = {"strict-transport-security": "max-age=1"}
    assert answered([b""], more=more)[1][b"strict-transport-security"] == b"max-age=1"


@given(st.lists(st.integers(), unique=True).map(sorted), st.integers(1, 7))
def test_pages_one_after_the_other_are_the_whole_list(rows: list[int], limit: int) -> None:
    found: list[int] = []
    after = ""
    while True:
        one = part(rows, Paged(limit, after), lambda row: row)
        assert len(one.items) <= limit
        found += one.items
        after = one.next
        if not after:
            break
        assert len(one.items) == limit
    assert found == rows


@given(st.lists(st.integers(), unique=True, min_size=2).map(sorted), st.data())
def test_what_is_removed_between_two_pages_leaves_nothing_else_out(rows: list[int], data: st.DataObject) -> None:
    limit = data.draw(st.integers(1, len(rows)))
    first = part(rows, Paged(limit), lambda row: row)
    gone = set(data.draw(st.lists(st.sampled_from(rows))))
    left = [row for row in rows if row not in gone]
    rest = part(left, Paged(1000, first.next), lambda row: row).items if first.next else []
    assert [*rest] == [row for row in left if row > first.items[-1]]


@given(st.text(max_size=40))
def test_a_cursor_of_anybody_is_a_key_or_refused(text: str) -> None:
    try:
        key_of(text, str)
    except HTTPException as error:
        assert error.status_code == 422


@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=4))
def test_a_key_comes_back_out_of_its_cursor(key: Any) -> None:
    text = cursor(key)
    assert text.isascii()
    assert key_of(text, Any) == msgspec.json.decode(msgspec.json.encode(key))


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(HTTPException):
        part([1, 2], Paged(1, cursor("a")), lambda row: row)
    assert page([1, 2, 3], 2, lambda row: row).next == cursor(2)
    assert page([1, 2], 2, lambda row: row).next == ""
