"""Doors as values: where, who, what goes in, what comes out. Routes and the OpenAPI document follow from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from isthmus.app.people.person import Role

Endpoint = Callable[[Request], Awaitable[Response]]
JSON, LINES, TABLE, FORM = "application/json", "application/x-ndjson", "text/csv", "multipart/form-data"
BYTES, EVENTS, TEXT, HTML = "application/octet-stream", "text/event-stream", "text/plain", "text/html"
BODY = (400, 408, 413, 415, 422)
"""What a door can answer to a body that is cut off, late, too large, of another type or of another shape."""


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


@dataclass(frozen=True, slots=True)
class Door:
    """One door. `bodies` and `good` give a type for each media type; `None` is plain bytes or text; a
    mapping is a JSON schema as it stands.

    `role` says who may pass: from a role upward, keys of the roles that are named, or anybody (None).
    `good` is by status; `bad` are the other statuses that it can answer with, besides those that all have.
    A path's places are `{name}`, `{name:int}` or `{name:path}`.
    """

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    role: Role | frozenset[str] | None = None
    query: type = Nothing
    bodies: Mapping[str, Any] = field(default_factory=dict)
    body_needed: bool = True
    good: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    bad: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()


Entering = Callable[[Request, Door], Awaitable[None]]
"""Runs before a door's endpoint; raises HTTPException where the call may not pass."""


def routes_of(doors: Sequence[Door], entering: Entering | None = None) -> Iterator[Route]:
    """Join the doors of one path, so that a method that none of them has is answered as such."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for door in doors:
        paths.setdefault(door.path, {})[door.method] = door.endpoint if entering is None else _kept(door, entering)
    for path, endpoints in paths.items():
        yield Route(path, _either(endpoints), methods=[*endpoints])


def _kept(door: Door, entering: Entering) -> Endpoint:
    async def enter(request: Request) -> Response:
        await entering(request, door)
        return await door.endpoint(request)

    return enter


def _either(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    if len(endpoints) == 1:
        return next(iter(endpoints.values()))

    async def choose(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return choose
