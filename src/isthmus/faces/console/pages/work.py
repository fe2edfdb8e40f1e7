"""The page of work: what runs and what ran, what it said, and the files that it wrote."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from isthmus.app.people.person import Person
from isthmus.app.works.seeing import seen
from isthmus.app.works.work import ENDED, Work
from isthmus.faces.console.frame import Frame
from isthmus.faces.http.hub.hub import Hub

_AT_ONCE = 50


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the page's routes."""
    pages = _Pages(hub, frame)
    return [
        frame.at("/works", pages.latest),
        frame.at("/works/{id}", pages.one),
        frame.at("/works/{id}/row", pages.row),
        frame.at("/works/{id}/cancel", pages.cancel, methods=("POST",)),
    ]


def works_of(hub: Hub, person: Person, most: int = _AT_ONCE, before: str = "") -> list[Work]:
    """List works, newest first, as someone sees them."""
    operations = hub.works.operations()
    return [seen(work, operations, person) for work in hub.works.latest(most, before)]


def running_of(hub: Hub, person: Person) -> list[Work]:
    """List what runs now, as someone sees it."""
    return [work for work in works_of(hub, person) if work.state not in ENDED]


class _Pages:
    def __init__(self, hub: Hub, frame: Frame) -> None:
        self._hub, self._frame = hub, frame

    async def latest(self, request: Request) -> Response:
        """List what runs and ran, newest first."""
        person = await self._frame.need(request)
        before = request.query_params.get("after", "")
        found = await asyncio.to_thread(works_of, self._hub, person, _AT_ONCE + 1, before)
        next = found[_AT_ONCE - 1].id if len(found) > _AT_ONCE else ""
        return await self._frame.page(request, "work.html", works=found[:_AT_ONCE], next=next)

    async def one(self, request: Request) -> Response:
        """Show one work."""
        return await self._frame.page(request, "one_work.html", work=await self._work(request))

    async def row(self, request: Request) -> Response:
        """Draw the row of one work anew."""
        return await self._frame.page(request, "work_row.html", work=await self._work(request))

    async def cancel(self, request: Request) -> Response:
        """Ask a work to stop; answers with its row, or leads to its page where there are no scripts."""
        person = await self._frame.need(request)
        id = request.path_params["id"]
        work = await asyncio.to_thread(self._hub.works.cancel, id, person)
        if "hx-request" not in request.headers:
            return RedirectResponse(f"/works/{id}", 303)
        operations = self._hub.works.operations()
        return await self._frame.page(request, "work_row.html", work=seen(work, operations, person))

    async def _work(self, request: Request) -> Work:
        person = await self._frame.need(request)
        work = await asyncio.to_thread(self._hub.works.get, request.path_params["id"])
        return seen(work, self._hub.works.operations(), person)
