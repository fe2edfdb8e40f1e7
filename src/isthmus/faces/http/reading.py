"""Reads bodies and parameters: bounded in length and in patience, and typed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar
from uuid import uuid4

import msgspec
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

T = TypeVar("T")

_SMALL = 1 << 20


async def pieces(request: Request, most: int, silent_s: float) -> AsyncIterator[bytes]:
    """Yield a body as it comes. Raises HTTPException where it is too long or comes too slowly."""
    if announced(request) > most:
        raise HTTPException(413, f"a body of at most {most:,} bytes is taken here", {"connection": "close"})
    stream, size = request.stream(), 0
    while True:
        try:
            async with asyncio.timeout(silent_s):
                piece = await anext(stream, None)
        except TimeoutError as error:
            raise HTTPException(408, "the body did not come in time", {"connection": "close"}) from error
        if piece is None:
            return
        size += len(piece)
        if size > most:
            raise HTTPException(413, f"a body of at most {most:,} bytes is taken here", {"connection": "close"})
        if piece:
            yield piece


def announced(request: Request) -> int:
    """Return the Content-Length; -1 where there is none. Raises HTTPException where it is no number."""
    text = request.headers.get("content-length")
    if text is None:
        return -1
    if not text.isdecimal() or len(text) > 18:
        raise HTTPException(400, "the Content-Length is no number")
    return int(text)


async def whole(request: Request, most: int, silent_s: float) -> bytes:
    """Return a body. Raises HTTPException."""
    return b"".join([piece async for piece in pieces(request, most, silent_s)])


async def body(request: Request, kind: type[T], silent_s: float, empty: T | None = None) -> T:
    """Return a small JSON body, typed. Raises HTTPException where it is something else."""
    text = await whole(request, _SMALL, silent_s)
    if not text.strip() and empty is not None:
        return empty
    if (media := media_type(request)) not in ("application/json", ""):
        raise HTTPException(415, f"{media} is not taken here; send application/json")
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise HTTPException(422, str(error)) from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is no JSON: {_plain(error)}") from error


def media_type(request: Request) -> str:
    """Return the body's media type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def query(request: Request, kind: type[T]) -> T:
    """Return the parameters, typed; empty ones count as left out, as a page's form sends them.

    Raises HTTPException where one is unknown or wrong.
    """
    given = request.query_params
    if len(given.multi_items()) != len(given):
        raise HTTPException(422, "a parameter stands there twice")
    try:
        return msgspec.convert({name: text for name, text in given.items() if text}, kind, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise HTTPException(422, str(error)) from error


async def upload(request: Request, most: int, silent_s: float) -> tuple[bytes, str, str, str]:
    """Return the one file of a form, its media type, its name, and the field `label`. Raises HTTPException."""
    parser = MultiPartParser(request.headers, _stream(request, most, silent_s), max_files=1, max_fields=4)
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, KeyError) as error:
        raise HTTPException(400, f"the form cannot be read: {_plain(error)}") from error
    try:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if not files:
            raise HTTPException(422, "there is no file in the form")
        label = form.get("label")
        name = files[0].filename or str(uuid4())
        return await files[0].read(), files[0].content_type or "", name, label if isinstance(label, str) else ""
    finally:
        await form.close()


async def _stream(request: Request, most: int, silent_s: float):  # type: ignore[no-untyped-def]
    async for piece in pieces(request, most, silent_s):
        yield piece


def _plain(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
