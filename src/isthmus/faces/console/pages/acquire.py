"""The pages of acquiring: batches as they go, what failed and why, environments, images on a wall and a map."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from isthmus.app.people.person import Role
from isthmus.app.views import acquire, environmentgates
from isthmus.core.errors import InputError, UnknownName
from isthmus.faces.console.acting import command_line
from isthmus.faces.console.frame import Frame
from isthmus.faces.console.typed import table_of
from isthmus.faces.console.words import FOLDER, LANGUAGES
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.shownsites import sites_with

TABLES = ("acquire",)
GATES = ("acquire", "agent")
"""A gate has two sides: an agent's site has one too."""
SEND = "acquire send"
_HERE = Path(__file__).parents[1]
_AT_ONCE = 20
_FAILURES = 50
_ASK_AGAIN = {"cache-control": "no-cache"}


@dataclass(frozen=True, slots=True)
class _Seen:
    """Which site a page is about. `own`: it is the server's, so that its operations can be run here."""

    name: str
    toml: Path
    own: bool
    sites: Sequence[str]
    serves: bool = True
    """It has an interface server; else an agent alone, of which its gate can be shown."""
    gated: bool = False


class _Assets(StaticFiles):
    """What the wall and the map consist of; asked for again each time, so that versions are never mixed."""

    def file_response(self, *args: Any, **more: Any) -> Response:
        response = super().file_response(*args, **more)
        response.headers.update(_ASK_AGAIN)
        return response


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the pages' routes, and those of what the wall and the map consist of.

    Their scripts are those of an interface server's own page; the one that talks to a server is the console's.
    """
    pages = _Pages(hub, frame)

    async def doors(_: Request) -> Response:
        return FileResponse(_HERE / "static" / "acquire-api.js", headers=_ASK_AGAIN)

    return [
        frame.at("/acquire", pages.batches),
        frame.at("/acquire/ask", pages.ask, role=Role.OPERATOR, methods=("POST",)),
        frame.at("/acquire/batches/{batch}", pages.batch),
        frame.at("/acquire/failures", pages.failures),
        frame.at("/acquire/environments", pages.environments),
        frame.at("/acquire/gates", pages.gates),
        frame.at("/acquire/images", pages.images),
        Route("/assets/api.js", doors),
        Mount("/assets", _Assets(directory=_HERE / "assets")),
    ]


class _Pages:
    def __init__(self, hub: Hub, frame: Frame) -> None:
        self._hub, self._frame = hub, frame

    async def batches(self, request: Request) -> Response:
        """List batches as they go."""
        after, now = request.query_params.get("after", ""), self._hub.clock.now()

        def look(seen: _Seen) -> dict[str, Any]:
            found = acquire.batches(seen.toml, now, after, _AT_ONCE + 1)
            around = acquire.environments(seen.toml, now)
            next_ = found[_AT_ONCE - 1].batch if len(found) > _AT_ONCE else ""
            return {"batches": found[:_AT_ONCE], "next": next_, "around": around, "command": self._command()}

        return await self._shown(request, "acquire.html", "batches", look)

    async def ask(self, request: Request) -> Response:
        """Ask for what was typed, by the operation that sends a list."""
        form = await request.form()
        given = {name: str(form.get(name, "")).strip() for name in ("environment", "tags", "priority", "label")}
        tags = [tag.strip() for tag in given["tags"].split(",") if tag.strip()]
        priority = _priority(given["priority"])
        content = table_of(str(form.get("addresses", "")), given["environment"], tags, priority)
        person = await self._frame.need(request, Role.OPERATOR)
        arguments: dict[str, Any] = {"file": "typed.csv"} | ({"label": given["label"]} if given["label"] else {})
        work = await asyncio.to_thread(self._hub.works.start, SEND, arguments, person, {"typed.csv": content})
        return RedirectResponse(f"/works/{work.id}", 303)

    async def batch(self, request: Request) -> Response:
        """Show one batch and what did not come of it."""
        name, after = request.path_params["batch"], _number(request)

        def look(seen: _Seen) -> dict[str, Any]:
            found = acquire.batch(seen.toml, self._hub.clock.now(), name)
            return {"batch": found, **_failures(seen, after, batch=name)}

        return await self._shown(request, "acquire_batch.html", "batches", look)

    async def failures(self, request: Request) -> Response:
        """List what did not come, of all batches."""
        after = _number(request)
        chosen = {name: request.query_params.get(name, "")[:200] for name in ("kind", "environment")}

        def look(seen: _Seen) -> dict[str, Any]:
            return {"chosen": chosen, **_failures(seen, after, **chosen)}

        return await self._shown(request, "acquire_failures.html", "failures", look)

    async def environments(self, request: Request) -> Response:
        """Show the environments."""

        def look(seen: _Seen) -> dict[str, Any]:
            return {"around": acquire.environments(seen.toml, self._hub.clock.now())}

        return await self._shown(request, "acquire_environments.html", "environments", look)

    async def gates(self, request: Request) -> Response:
        """Show the environments that are reached through gate folders."""
        return await self._shown(
            request,
            "acquire_gates.html",
            "gates",
            lambda seen: {"gates": environmentgates.gates_of_environments(seen.toml)},
            GATES,
        )

    async def images(self, request: Request) -> Response:
        """Show the wall and the map of images."""
        words = pictures(self._frame.words(request).language)
        return await self._shown(request, "acquire_images.html", "images", lambda seen: {"words": words})

    async def _shown(
        self,
        request: Request,
        template: str,
        section: str,
        looked: Callable[[_Seen], Mapping[str, Any]],
        tables: Sequence[str] = TABLES,
    ) -> Response:
        """Look at a site in a thread, and show what was seen; where no site acquires, say so."""

        def look() -> tuple[_Seen, Mapping[str, Any]] | None:
            seen = self._seen(request.query_params.get("site", ""), tables)
            return None if seen is None else (seen, looked(seen))

        found = await asyncio.to_thread(look)
        if found is None:
            return await self._frame.page(request, "acquire_none.html")
        seen, values = found
        return await self._frame.page(
            request, template, seen=seen, section=section, words_of=acquire.WORDS, **values
        )

    def _seen(self, name: str, tables: Sequence[str]) -> _Seen | None:
        sites = sites_with(self._hub, tables)
        if name and name not in sites:
            raise UnknownName.among("site", name, sites)
        if not sites:
            return None
        name = name or next(iter(sites))
        serving = sites_with(self._hub, TABLES)
        return _Seen(
            name,
            sites[name],
            sites[name] == self._hub.toml,
            list(sites),
            name in serving,
            environmentgates.gated(sites[name]),
        )

    def _command(self) -> str:
        operation = self._hub.works.operations().get(SEND)
        return command_line(str(self._hub.toml), SEND, operation, {"file": "typed.csv"})


def _failures(seen: _Seen, after: int, batch: str = "", kind: str = "", environment: str = "") -> dict[str, Any]:
    from isthmus.acquire.ports import Which
    from isthmus.acquire.states import State

    chosen = Which(batch=batch, environment=environment, states=(State.FAILED, State.EXPIRED), kind=kind)
    found = acquire.requests(seen.toml, chosen, after, _FAILURES + 1)
    next_ = str(found[_FAILURES - 1].request) if len(found) > _FAILURES else ""
    return {"failures": found[:_FAILURES], "next": next_}


def _number(request: Request) -> int:
    text = request.query_params.get("after", "")
    if text and not (text.isdecimal() and len(text) < 19):
        raise InputError("that is no place in the list", "begin at the start of it")
    return int(text) if text else 0


def _priority(text: str) -> int | None:
    if text and not (text.isdecimal() and len(text) == 1):
        raise InputError(f"the priority {text[:20]!r} is not 0 to 9", "leave it empty for the usual one")
    return int(text) if text else None


@cache
def pictures(language: str) -> Mapping[str, str]:
    """Return what the scripts of wall and map say in a language, by their English texts."""
    texts = tomllib.loads((FOLDER / "acquire.toml").read_text("utf-8"))["pictures"].values()
    place = [*LANGUAGES].index(language)  # type: ignore[arg-type]
    return {one[0]: one[place] for one in texts}
