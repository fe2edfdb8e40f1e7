"""The door of the overview: all sites, and what flows over the boundaries between them."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from isthmus.app.people.person import Role
from isthmus.app.views.overview import Overview, overview_of
from isthmus.faces.http.answers import answer
from isthmus.faces.http.doors import JSON, Door
from isthmus.faces.http.hub.hub import Hub


def doors(hub: Hub) -> list[Door]:
    """Return the door."""

    async def overview(_: Request) -> Response:
        """Look at every site."""
        return answer(await asyncio.to_thread(overview_of, [hub.toml, *hub.sites], hub.clock.now()))

    return [
        Door(
            "GET",
            "/v1/overview",
            overview,
            "See every site: how it stands, its alarms, and what flows between them.",
            Role.VIEWER,
            good={200: {JSON: Overview}},
        )
    ]
