"""The first page: every site with its state, and one picture of what flows over the boundaries between them."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from isthmus.app.views.overview import overview_of
from isthmus.faces.console.frame import Frame
from isthmus.faces.console.pages.work import running_of
from isthmus.faces.console.picture import BOX, HIGH, drawn
from isthmus.faces.http.hub.hub import Hub


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the page's routes."""

    async def overview(request: Request) -> Response:
        """Show all sites, what flows between them, and what runs now."""
        seen = await asyncio.to_thread(overview_of, [hub.toml, *hub.sites], hub.clock.now())
        running = await asyncio.to_thread(running_of, hub, await frame.need(request))
        return await frame.page(
            request, "overview.html", seen=seen, picture=drawn(seen), running=running, box=BOX, high=HIGH
        )

    return [frame.at("/", overview)]
