"""The interface server's application: its doors, and what surrounds them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib import metadata

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Mount, WebSocketRoute

from isthmus.acquire.server.service import AcquireService
from isthmus.core.errors import IsthmusError
from isthmus.faces.http.acquire.agents import AgentDoors
from isthmus.faces.http.acquire.clients import ClientDoors
from isthmus.faces.http.acquire.doors import all_doors
from isthmus.faces.http.acquire.events import EventDoors
from isthmus.faces.http.acquire.openapi import document
from isthmus.faces.http.acquire.site import SiteDoors, assets, console
from isthmus.faces.http.answers import told
from isthmus.faces.http.doors import routes_of
from isthmus.faces.http.layers import Surrounding

_RAISED = (HTTPException, IsthmusError, OSError, ClientDisconnect, Exception)


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
    routes: list[BaseRoute] = [*routes_of(doors)]
    routes.append(WebSocketRoute("/v1/events/ws", events.socket))
    if (folder := console()) is not None:
        routes.append(Mount("/assets", assets(folder)))
    return Starlette(
        routes=routes,
        middleware=[Middleware(Surrounding, say=service.say)],
        exception_handlers=dict.fromkeys(_RAISED, told),
        lifespan=living,
    )
