"""Doors of recovery: how the pair stands, its rounds, publications and tables, and what a change of role needs."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import Response

from isthmus.app.people.person import Role
from isthmus.app.views import recovery
from isthmus.app.views.recovery import PublicationSeen, RecoverySeen, RoundSeen, TableSeen
from isthmus.app.views.turning import Act, Guide, guide_of
from isthmus.core.errors import UnknownName
from isthmus.faces.http.answers import answer
from isthmus.faces.http.doors import JSON, Door
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import Page, asked, key_of, page, part
from isthmus.faces.http.hub.resources.galleries import OfSite, PagedOfSite
from isthmus.faces.http.hub.shownsites import site_at


class RecoveryDoors:
    """The endpoints."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def standing(self, request: Request) -> Response:
        """Show how the pair stands."""
        return answer(await self._seen(asked(request, OfSite).site))

    async def rounds(self, request: Request) -> Response:
        """List rounds, newest first."""
        given = asked(request, PagedOfSite)
        before = key_of(given.after, tuple[str, str])
        found = await asyncio.to_thread(recovery.rounds_of, site_at(self._hub, given.site))
        rest = [one for one in reversed(found) if before is None or (one.key, one.action) < before]
        return answer(page(rest, given.limit, lambda one: (one.key, one.action)))

    async def publications(self, request: Request) -> Response:
        """List publications."""
        given = asked(request, PagedOfSite)
        found = await asyncio.to_thread(recovery.publications_of, site_at(self._hub, given.site))
        return answer(part(found, given, lambda one: one.name))

    async def tables(self, request: Request) -> Response:
        """List the published tables."""
        given = asked(request, PagedOfSite)
        found = await asyncio.to_thread(recovery.tables_of, site_at(self._hub, given.site))
        return answer(part(found, given, lambda one: one.name))

    async def guide(self, request: Request) -> Response:
        """Look at what a change of role needs."""
        act: Act = request.path_params["act"]
        if act not in get_args(Act):
            raise UnknownName.among("act", act, get_args(Act))
        return answer(guide_of(act, await self._seen(asked(request, OfSite).site)))

    async def _seen(self, site: str) -> RecoverySeen:
        return await asyncio.to_thread(recovery.recovery_of, site_at(self._hub, site), self._hub.clock.now())


def doors(hub: Hub) -> list[Door]:
    """Return the doors of recovery."""
    at = RecoveryDoors(hub)

    def reads(path: str, endpoint: Any, summary: str, kind: Any, query: type) -> Door:
        return Door(
            "GET", path, endpoint, summary, Role.VIEWER, query, good={200: {JSON: kind}}, bad=(404, 409, 422)
        )

    return [
        reads(
            "/v1/recovery",
            at.standing,
            "See how the pair stands: role, RPO, rounds, alarms.",
            RecoverySeen,
            OfSite,
        ),
        reads("/v1/recovery/rounds", at.rounds, "List rounds, newest first.", Page[RoundSeen], PagedOfSite),
        reads(
            "/v1/recovery/publications", at.publications, "List publications.", Page[PublicationSeen], PagedOfSite
        ),
        reads("/v1/recovery/tables", at.tables, "List the published tables.", Page[TableSeen], PagedOfSite),
        reads(
            "/v1/recovery/acts/{act}",
            at.guide,
            "See what a switchover, a failover or a failback needs, and whether it is possible now.",
            Guide,
            OfSite,
        ),
    ]
