"""The application of a site's one server: the API's doors, whatever pages are given, and what surrounds both."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from importlib import metadata
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.routing import BaseRoute

from isthmus.app.people.person import Role
from isthmus.core.errors import IsthmusError
from isthmus.faces.http import openapi, reading
from isthmus.faces.http.answers import told
from isthmus.faces.http.bounding import Bounding
from isthmus.faces.http.doors import Door, routes_of
from isthmus.faces.http.hub import resources
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.operations import OperationDoors
from isthmus.faces.http.hub.standing import Counts, StandingDoors
from isthmus.faces.http.hub.work import WorkDoors
from isthmus.faces.http.layers import Surrounding

MOST_BODY = 1 << 20
MOST_UPLOAD = 128 << 20
_UPLOADS = ("/v1/operations/", "/act/")
_PACKED_FROM = 1000
"""Answers of fewer bytes are sent as they are."""
_BY_TLS = {"strict-transport-security": "max-age=31536000"}
_RAISED = (HTTPException, IsthmusError, OSError, ClientDisconnect, Exception)

ABOUT = openapi.About(
    "Isthmus",
    "Everything that a site does: what there is to see as lists, what there is to do as operations. An operation "
    "that is begun is a work, with progress, files and an end. Lists come in pages: give `next` back as `after`.",
    cookie="isthmus_console",
)


class HubApplication(Starlette):
    """The ASGI application. `end_waiting` lets go of those who watch, so that the server can end."""

    end_waiting: Callable[[], Awaitable[None]]


def application(
    hub: Hub,
    pages: Sequence[BaseRoute] = (),
    around: Sequence[Middleware] = (),
    doors: Sequence[Door] = (),
    cookie: str = "",
    secure: bool = False,
) -> HubApplication:
    """Build the application.

    `around` are layers between the headers and the doors; `doors` come beside its own; `cookie` is the session's.
    `secure` tells browsers to come by https alone from now on.
    """
    counts = Counts()
    operations, works = OperationDoors(hub), WorkDoors(hub)
    standing = StandingDoors(hub, counts, lambda: works.watchers)
    every = [*operations.doors(), *works.doors(), *resources.doors(hub), *doors, *standing.doors()]
    standing.document = _described(every, operations, cookie)

    async def entering(request: Request, door: Door) -> None:
        if isinstance(door.role, Role):
            request.state.person = await hub.guard.need(request, door.role)
        request.state.asked = reading.query(request, door.query)

    @contextlib.asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        yield
        await works.end_watching()

    built = HubApplication(
        routes=[*routes_of(every, entering), *pages],
        middleware=[
            Middleware(Surrounding, say=counts, more=_BY_TLS if secure else {}),
            *around,
            Middleware(Bounding, most=most_of),
            Middleware(GZipMiddleware, minimum_size=_PACKED_FROM, compresslevel=6),
        ],
        exception_handlers=dict.fromkeys(_RAISED, told),
        lifespan=living,
    )
    built.end_waiting = works.end_watching
    return built


def description_of(hub: Hub) -> dict[str, Any]:
    """Return the description of all doors that a hub has, without anything being served."""
    operations, works = OperationDoors(hub), WorkDoors(hub)
    standing = StandingDoors(hub, Counts(), lambda: 0)
    every = [*operations.doors(), *works.doors(), *resources.doors(hub), *standing.doors()]
    return _described(every, operations, "")


def _described(doors: Sequence[Door], operations: OperationDoors, cookie: str) -> dict[str, Any]:
    shown = [door for door in doors if door.bodies or door.good] + operations.described()
    about = replace(ABOUT, cookie=cookie or ABOUT.cookie)
    return openapi.document(shown, metadata.version("isthmus"), about)


def most_of(path: str) -> int:
    """Return how long a body may be: uploads of images and models go to operations alone."""
    return MOST_UPLOAD if path.startswith(_UPLOADS) else MOST_BODY
