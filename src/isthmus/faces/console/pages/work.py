"""The page of work: what runs and what ran, what it said, and the files that it wrote."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from isthmus.faces.console.frame import Frame
from isthmus.faces.http.hub.hub import Hub

_AT_ONCE = 50


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the page's routes."""

    async def work(request: Request) -> Response:
        """List what runs and ran, newest first."""
        before = request.query_params.get("after", "")
        found = list(hub.works.latest(_AT_ONCE + 1, before))
        next = found[_AT_ONCE - 1].id if len(found) > _AT_ONCE else ""
        return await frame.page(request, "work.html", works=found[:_AT_ONCE], next=next)

    async def one_work(request: Request) -> Response:
        """Show one work."""
        return await frame.page(request, "one_work.html", work=hub.works.get(request.path_params["id"]))

    async def row(request: Request) -> Response:
        """Draw the row of one work anew."""
        return await frame.page(request, "work_row.html", work=hub.works.get(request.path_params["id"]))

    return [
        frame.at("/work", work),
        frame.at("/work/{id}", one_work),
        frame.at("/work/{id}/row", row),
    ]
