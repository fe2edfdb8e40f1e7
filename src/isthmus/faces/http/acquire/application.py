"""The interface server's application: its doors, and what surrounds them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from importlib import metadata

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from isthmus.acquire.server.service import AcquireService
from isthmus.core.errors import IsthmusError
from isthmus.faces.http.acquire.agents import AgentDoors
from isthmus.faces.http.acquire.answers import told
from isthmus.faces.http.acquire.clients import ClientDoors
from isthmus.faces.http.acquire.doors import Door, Endpoint, all_doors
from isthmus.faces.http.acquire.events import EventDoors
from isthmus.faces.http.acquire.layers import Surrounding
from isthmus.faces.http.acquire.openapi import document
from isthmus.faces.http.acquire.site import SiteDoors, assets, console

_RAISED = (HTTPException, IsthmusError, OSError, ClientDisconnect, Exception)


def ways(doors: Sequence[Door]) -> Iterator[tuple[str, Endpoint, list[str]]]:
    """Join the doors of one path, so that a method that none of them has is answered as such."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for door in doors:
        paths.setdefault(door.path, {})[door.method] = door.endpoint
    for path, endpoints in paths.items():
        yield path, _either(endpoints), [*endpoints]


def _either(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    if len(endpoints) == 1:
        return next(iter(endpoints.values()))

    async def choose(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return choose


def application(service: AcquireService) -> Starlette:
    """Build the ASGI application around a service, which it starts and closes."""

    @contextlib.asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    events, site = EventDoors(service), SiteDoors(service)
    doors = all_doors(ClientDoors(service), AgentDoors(service), events, site)
    site.openapi_document = document(doors, metadata.version("isthmus"))
    routes: list[BaseRoute] = [Route(path, endpoint, methods=methods) for path, endpoint, methods in ways(doors)]
    routes.append(WebSocketRoute("/v1/events/ws", events.socket))
    if (folder := console()) is not None:
        routes.append(Mount("/assets", assets(folder)))
    return Starlette(
        routes=routes,
        middleware=[Middleware(Surrounding, say=service.say)],
        exception_handlers=dict.fromkeys(_RAISED, told),
        lifespan=living,
    )
