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
from isthmus.faces.http.doors import JSON, Door, Nothing
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import Page, Paged, asked, key_of, page, part


class RecoveryDoors:
    """The endpoints."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def standing(self, _: Request) -> Response:
        """Show how the pair stands."""
        return answer(await self._seen())

    async def rounds(self, request: Request) -> Response:
        """List rounds, newest first."""
        given = asked(request, Paged)
        before = key_of(given.after, tuple[str, str])
        found = await asyncio.to_thread(recovery.rounds_of, self._hub.toml)
        rest = [one for one in reversed(found) if before is None or (one.key, one.action) < before]
        return answer(page(rest, given.limit, lambda one: (one.key, one.action)))

    async def publications(self, request: Request) -> Response:
        """List publications."""
        found = await asyncio.to_thread(recovery.publications_of, self._hub.toml)
        return answer(part(found, asked(request, Paged), lambda one: one.name))

    async def tables(self, request: Request) -> Response:
        """List the published tables."""
        found = await asyncio.to_thread(recovery.tables_of, self._hub.toml)
        return answer(part(found, asked(request, Paged), lambda one: one.name))

    async def guide(self, request: Request) -> Response:
        """Look at what a change of role needs."""
        act: Act = request.path_params["act"]
        if act not in get_args(Act):
            raise UnknownName.among("act", act, get_args(Act))
        return answer(guide_of(act, await self._seen()))

    async def _seen(self) -> RecoverySeen:
        return await asyncio.to_thread(recovery.recovery_of, self._hub.toml, self._hub.clock.now())


def doors(hub: Hub) -> list[Door]:
    """Return the doors of recovery."""
    at = RecoveryDoors(hub)

    def reads(path: str, endpoint: Any, summary: str, kind: Any, query: type = Nothing) -> Door:
        return Door(
            "GET", path, endpoint, summary, Role.VIEWER, query, good={200: {JSON: kind}}, bad=(404, 409, 422)
        )

    return [
        reads("/v1/recovery", at.standing, "See how the pair stands: role, RPO, rounds, alarms.", RecoverySeen),
        reads("/v1/recovery/rounds", at.rounds, "List rounds, newest first.", Page[RoundSeen], Paged),
        reads("/v1/recovery/publications", at.publications, "List publications.", Page[PublicationSeen], Paged),
        reads("/v1/recovery/tables", at.tables, "List the published tables.", Page[TableSeen], Paged),
        reads(
            "/v1/recovery/acts/{act}",
            at.guide,
            "See what a switchover, a failover or a failback needs, and whether it is possible now.",
            Guide,
        ),
    ]
