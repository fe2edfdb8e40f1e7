"""Answers: JSON by msgspec, and problem details (RFC 9457) for everything that goes wrong."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from isthmus.core.errors import Busy, InputError, IsthmusError, Refused, UnknownName, WrongArguments

PROBLEM = "application/problem+json"
_ENCODER = msgspec.json.Encoder()
_TITLES = {
    400: "Bad request",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "In conflict",
    411: "Length required",
    413: "Too large",
    415: "Not understood",
    421: "Not this name",
    422: "Wrong input",
    426: "WebSocket only",
    429: "Too many",
    500: "A mistake of ours",
    503: "Come again later",
    507: "No room",
}


class WrongLine(msgspec.Struct, frozen=True):
    """One mistake in what was posted. Line 0 is the body as a whole; in a JSON list it is the place, from 1."""

    line: int
    what: str


class Problem(msgspec.Struct, frozen=True):
    """Problem details (RFC 9457). `lines` are the first mistakes of a batch, `more` counts the others."""

    title: str
    status: int
    detail: str = ""
    type: str = "about:blank"
    lines: Sequence[WrongLine] = ()
    more: int = 0


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(_ENCODER.encode(value), status, headers, "application/json")


def problem(
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
    lines: Sequence[WrongLine] = (),
    more: int = 0,
) -> Response:
    """Answer with problem details."""
    body = Problem(_TITLES.get(status, "Not done"), status, detail, lines=lines, more=more)
    return Response(_ENCODER.encode(body), status, headers, PROBLEM)


async def told(_: Request, error: Exception) -> Response:
    """Turn what was raised into an answer."""
    if isinstance(error, HTTPException):
        return problem(error.status_code, error.detail, dict(error.headers or {}))
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # nobody reads it
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return problem(507 if full else 503, error.strerror or str(error), {"retry-after": "5"})
    if isinstance(error, Busy):
        return problem(503, str(error), {"retry-after": "1"})
    if isinstance(error, WrongArguments):
        return problem(422, str(error), lines=[WrongLine(0, what) for what in error.mistakes])
    for kind, status in ((UnknownName, 404), (InputError, 422), (Refused, 403)):
        if isinstance(error, kind):
            return problem(status, str(error))
    return problem(503 if isinstance(error, IsthmusError) else 500, str(error), {"retry-after": "5"})
