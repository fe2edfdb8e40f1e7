"""The first page: all sites, and what flows between them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from isthmus.faces.console.frame import Frame
from isthmus.faces.http.hub.hub import Hub


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the page's routes."""

    async def overview(request: Request) -> Response:
        """Show all sites."""
        return await frame.page(request, "overview.html")

    return [frame.at("/", overview)]
