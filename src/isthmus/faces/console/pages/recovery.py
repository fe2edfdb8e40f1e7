"""The pages of recovery: how the pair stands, and its changes of role as guided acts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from isthmus.app.people.person import Person, Role
from isthmus.app.views.recovery import RecoverySeen, RoundSeen, recovery_of, rpo_of
from isthmus.app.views.turning import Act, guide_of, offered
from isthmus.app.works.seeing import seen
from isthmus.app.works.work import Work
from isthmus.core.errors import ConfigError, InputError, MissingExtra, Refused, UnknownName
from isthmus.faces.console.frame import Frame
from isthmus.faces.console.pages.work import works_of
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.shownsites import sites_with

_TOLD = ("recovery verify", "recovery drill", "recovery check", "recovery prepare")
_LOOKED_AT = 100


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the pages' routes."""
    pages = _Pages(hub, frame)
    return [
        frame.at("/recovery", pages.recovery),
        frame.at("/recovery/{act}", pages.guide),
        frame.at("/recovery/{act}", pages.begin, role=Role.ADMIN, methods=("POST",)),
    ]


class _Pages:
    def __init__(self, hub: Hub, frame: Frame) -> None:
        self._hub, self._frame = hub, frame

    async def recovery(self, request: Request) -> Response:
        """Show how the pair stands, at this site or at another one that is shown here."""
        sites = await asyncio.to_thread(sites_with, self._hub, ("recovery",))
        asked = request.query_params.get("site", "")
        if asked and asked not in sites:
            raise UnknownName.among("site", asked, sites)
        name = asked or next(iter(sites), "")
        toml = sites.get(name, self._hub.toml)
        try:
            now = await asyncio.to_thread(recovery_of, toml, self._hub.clock.now())
        except ConfigError:
            raise
        except (InputError, MissingExtra) as error:
            return await self._frame.page(request, "recovery_none.html", why=error.what, hint=error.hint)
        return await self._frame.page(
            request,
            "recovery.html",
            seen=now,
            own=toml == self._hub.toml,
            sites=list(sites),
            acts=offered(now),
            rounds=_newest(now.rounds),
            rpo=_chart(now),
            told=await asyncio.to_thread(self._told, await self._frame.need(request)),
        )

    async def guide(self, request: Request) -> Response:
        """Lead through a change of role: what was looked at, what is lost, the word to type; then how it goes."""
        act = _act(request)
        now = await self._seen()
        work = self._work(request.query_params.get("work", ""), act, await self._frame.need(request))
        return await self._frame.page(
            request, "guide.html", seen=now, guide=guide_of(act, now), act_name=act, work=work, wrong=False
        )

    async def begin(self, request: Request) -> Response:
        """Begin the act, where nothing forbids it and the word was typed."""
        act = _act(request)
        now = await self._seen()
        guide = guide_of(act, now)
        typed = str((await request.form()).get("confirm", ""))
        if typed != guide.word:
            return await self._frame.page(
                request, "guide.html", status=422, seen=now, guide=guide, act_name=act, work=None, wrong=True
            )
        if not guide.possible:
            raise Refused(f"{act} is not possible now", "see what the page says of each check")
        person = await self._frame.need(request, Role.ADMIN)
        work = await asyncio.to_thread(self._hub.works.start, f"recovery {act}", self._arguments(act), person)
        return RedirectResponse(f"/recovery/{act}?work={work.id}", 303)

    def _arguments(self, act: Act) -> dict[str, Any]:
        """Answer beforehand what the command would ask, where it is offered with the question."""
        operation = self._hub.works.operations().get(f"recovery {act}")
        return {"yes": True} if operation and any(one.name == "yes" for one in operation.parameters) else {}

    def _work(self, id: str, act: Act, person: Person) -> Work | None:
        if not id:
            return None
        work = seen(self._hub.works.get(id), self._hub.works.operations(), person)
        if work.operation != f"recovery {act}":
            raise UnknownName(f"the work {id} is no {act}")
        return work

    def _told(self, person: Person) -> list[Work]:
        """Return the newest run of each operation that proves something."""
        found: dict[str, Work] = {}
        for work in works_of(self._hub, person, _LOOKED_AT):
            if work.operation in _TOLD:
                found.setdefault(work.operation, work)
        return list(found.values())

    async def _seen(self) -> RecoverySeen:
        return await asyncio.to_thread(recovery_of, self._hub.toml, self._hub.clock.now())


def _act(request: Request) -> Act:
    name = request.path_params["act"]
    if name not in get_args(Act):
        raise UnknownName.among("act", name, get_args(Act))
    act: Act = name
    return act


def _newest(rounds: Sequence[RoundSeen]) -> list[RoundSeen]:
    return list(rounds)[::-1]


def _chart(seen: RecoverySeen) -> dict[str, list[float]]:
    points = rpo_of(seen.rounds, seen.now)
    return {"xs": [at.timestamp() for at, _ in points], "seconds": [round(seconds, 2) for _, seconds in points]}
