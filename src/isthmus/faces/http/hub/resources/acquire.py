"""Doors of acquiring: batches as they go, requests and why they failed, environments, images."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from isthmus.acquire.ports import Event, Which
from isthmus.acquire.states import State
from isthmus.app.people.person import Role
from isthmus.app.views import acquire, environmentgates
from isthmus.app.views.acquire import BatchShown, EnvironmentShown
from isthmus.app.views.environmentgates import GateOfEnvironment
from isthmus.faces.http.acquire.shapes import Edge, Shown, shown
from isthmus.faces.http.answers import answer
from isthmus.faces.http.doors import BYTES, JSON, Door
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import Page, Paged, asked, key_of, page, part
from isthmus.faces.http.hub.resources.galleries import FOR_EVER, HARMLESS, PagedOfSite, Site, picture
from isthmus.faces.http.hub.shownsites import site_at

Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62))]
_WORDS = {state.word: state for state in State}
_TYPES = {"jpeg": "image/jpeg", "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_MISSED = (State.FAILED, State.EXPIRED)
Text = Annotated[str, msgspec.Meta(max_length=200)]


class _Filtered(Paged, frozen=True):
    site: Site = ""
    batch: Text = ""
    environment: Text = ""
    kind: Text = ""
    place: Text = ""
    tag: Text = ""
    taken_from: datetime | None = None
    taken_until: datetime | None = None


class WhichImages(_Filtered, frozen=True):
    """Which images, newest first."""


class WhichOnes(_Filtered, frozen=True):
    """Which requests, newest first. `state` may name several, separated by commas."""

    state: Annotated[str, msgspec.Meta(max_length=200, pattern="^[a-z,]*$")] = ""


class WhichEnds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ended after an event; without one from now on."""

    after: Number | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 500
    site: Site = ""


class EdgeOfSite(Edge, frozen=True):
    """The longest edge of a thumbnail in pixels, at which site."""

    site: Site = ""


class OneOfSite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At which site."""

    site: Site = ""


class Ends(msgspec.Struct, frozen=True):
    """What ended, oldest first. `after` is what to give next time, also where nothing ended."""

    items: Sequence[Event]
    after: int


class Environments(msgspec.Struct, frozen=True):
    """A part of the environments. `server`: whether the interface server answers; it knows agents and latency."""

    items: Sequence[EnvironmentShown]
    next: str
    server: bool


class AcquireDoors:
    """What the doors do."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def _at(self, given: Any) -> Path:
        return site_at(self._hub, given.site)

    async def batches(self, request: Request) -> Response:
        """List batches."""
        given = asked(request, PagedOfSite)
        after, now = key_of(given.after, str) or "", self._hub.clock.now()
        found = await asyncio.to_thread(acquire.batches, self._at(given), now, after, given.limit + 1)
        return answer(page(found, given.limit, lambda one: one.batch))

    async def batch(self, request: Request) -> Response:
        """Show a batch."""
        given, name = asked(request, OneOfSite), request.path_params["batch"]
        return answer(await asyncio.to_thread(acquire.batch, self._at(given), self._hub.clock.now(), name))

    async def failures(self, request: Request) -> Response:
        """List what did not come of a batch."""
        given = asked(request, PagedOfSite)
        which = Which(batch=request.path_params["batch"], states=_MISSED)
        return await self._lines(given, which)

    async def requests(self, request: Request) -> Response:
        """List requests."""
        given = asked(request, WhichOnes)
        words = [word for word in given.state.split(",") if word]
        if unknown := [word for word in words if word not in _WORDS]:
            raise HTTPException(422, f"{unknown[0]!r} is no state; states are {', '.join(_WORDS)}")
        return await self._lines(given, _which(given, tuple(_WORDS[word] for word in words)))

    async def images(self, request: Request) -> Response:
        """List images."""
        given = asked(request, WhichImages)
        return await self._lines(given, _which(given, (State.DONE,)))

    async def request(self, request: Request) -> Response:
        """Show a request."""
        given, number = asked(request, OneOfSite), request.path_params["request"]
        return answer(shown(await asyncio.to_thread(acquire.request, self._at(given), number)))

    async def ends(self, request: Request) -> Response:
        """Tell what ended."""
        given = asked(request, WhichEnds)
        found, last = await asyncio.to_thread(acquire.events, self._at(given), given.after, given.limit)
        return answer(Ends(found, last), headers={"cache-control": "no-store"})

    async def environments(self, request: Request) -> Response:
        """List environments."""
        given = asked(request, PagedOfSite)
        told = await asyncio.to_thread(acquire.environments, self._at(given), self._hub.clock.now())
        some = part(told.environments, given, lambda one: one.environment)
        return answer(Environments(some.items, some.next, told.server))

    async def gates(self, request: Request) -> Response:
        """Show the gates of environments."""
        given = asked(request, PagedOfSite)
        found = await asyncio.to_thread(environmentgates.gates_of_environments, self._at(given))
        return answer(part(found, given, lambda one: one.environment))

    async def image(self, request: Request) -> Response:
        """Send an image as it is stored."""
        given, digest = asked(request, OneOfSite), request.path_params["digest"]
        found = await asyncio.to_thread(acquire.image, self._at(given), digest)
        if found is None:
            raise HTTPException(404, "there is no such image")
        media = _TYPES.get(found[0].format.lower(), BYTES)
        headers = {
            "content-security-policy": HARMLESS,
            "x-content-type-options": "nosniff",
            "cache-control": FOR_EVER,
        }
        return FileResponse(found[1], headers=headers, media_type=media)

    async def thumbnail(self, request: Request) -> Response:
        """Draw an image small."""
        given, digest = asked(request, EdgeOfSite), request.path_params["digest"]
        content = await asyncio.to_thread(acquire.thumbnail, self._at(given), digest, given.edge)
        if content is None:
            raise HTTPException(404, "there is no such image")
        return picture(request, content, f'"{digest}-{given.edge}"')

    async def _lines(self, given: Any, which: Which) -> Response:
        after = key_of(given.after, Number) or 0
        found = await asyncio.to_thread(acquire.requests, self._at(given), which, after, given.limit + 1)
        return answer(page([shown(line) for line in found], given.limit, lambda one: one.request))


def _which(given: Any, states: tuple[State, ...]) -> Which:
    for moment in (given.taken_from, given.taken_until):
        if moment is not None and moment.tzinfo is None:
            raise HTTPException(422, "a time has a zone: end it with Z or +02:00")
    return Which(
        "", given.batch, given.environment, states, given.kind, given.place, given.tag, given.taken_from,
        given.taken_until,
    )  # fmt: skip


def doors(hub: Hub) -> list[Door]:
    """Return the doors."""
    return [*_of_batches(AcquireDoors(hub)), *_of_images(AcquireDoors(hub))]


def _of_batches(at: AcquireDoors) -> list[Door]:
    wrong = (404, 422)
    lines = {200: {JSON: Page[Shown]}}
    return [
        Door("GET", "/v1/batches", at.batches, "List batches as they go, newest first.",
             Role.VIEWER, PagedOfSite, good={200: {JSON: Page[BatchShown]}}, bad=wrong),
        Door("GET", "/v1/batches/{batch}", at.batch, "Show one batch as it stands.",
             Role.VIEWER, OneOfSite, good={200: {JSON: BatchShown}}, bad=wrong),
        Door("GET", "/v1/batches/{batch}/failures", at.failures, "List what did not come of a batch, and why.",
             Role.VIEWER, PagedOfSite, good=lines, bad=wrong),
        Door("GET", "/v1/requests", at.requests, "List requests, newest first.",
             Role.VIEWER, WhichOnes, good=lines, bad=wrong),
        Door("GET", "/v1/requests/{request:int}", at.request, "Show one request.",
             Role.VIEWER, OneOfSite, good={200: {JSON: Shown}}, bad=wrong),
        Door("GET", "/v1/acquired", at.ends, "Tell what ended after an event, for who watches.",
             Role.VIEWER, WhichEnds, good={200: {JSON: Ends}}, bad=wrong),
        Door("GET", "/v1/environments", at.environments,
             "Show how much lies where, which agents were heard of, and how long requests take.",
             Role.VIEWER, PagedOfSite, good={200: {JSON: Environments}}, bad=wrong),
        Door("GET", "/v1/environments/gates", at.gates,
             "Tell where the gates of environments stand that no connection leaves, with what is missing.",
             Role.VIEWER, PagedOfSite, good={200: {JSON: Page[GateOfEnvironment]}}, bad=wrong),
    ]  # fmt: skip


def _of_images(at: AcquireDoors) -> list[Door]:
    stored = {"image/jpeg": None, "image/png": None, "image/webp": None, BYTES: None}
    drawn = {"image/jpeg": None, "image/svg+xml": None}
    wrong = (404, 422)
    return [
        Door("GET", "/v1/images", at.images, "List images that came, newest first, with time and place.",
             Role.VIEWER, WhichImages, good={200: {JSON: Page[Shown]}}, bad=wrong),
        Door("GET", "/v1/images/{digest}", at.image, "Get an image as it is stored.",
             Role.VIEWER, OneOfSite, good={200: stored, 206: stored}, bad=(404, 416, 422)),
        Door("GET", "/v1/images/{digest}/thumbnail", at.thumbnail,
             "Get an image small, as JPEG; a placeholder (SVG) where it cannot be drawn.",
             Role.VIEWER, EdgeOfSite, good={200: drawn, 304: {}}, bad=wrong),
    ]  # fmt: skip
