"""Doors of galleries: records, their images, devices, the gate, what was set aside, who did what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from isthmus.app.people.person import Role
from isthmus.app.views import devices, galleries, gates, shelves
from isthmus.app.views.devices import DeviceShown, GrantShown
from isthmus.app.views.galleryshapes import Act, GalleryShown, Reference, Standing
from isthmus.app.views.gates import GateShown
from isthmus.app.views.pictures import LEAST_EDGE, MOST_EDGE, PLACEHOLDER, small
from isthmus.app.views.shelves import HeldShown, ShelfShown
from isthmus.faces.http.answers import answer
from isthmus.faces.http.doors import JSON, Door
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import Page, Paged, asked, key_of, page, part
from isthmus.faces.http.hub.shownsites import site_at

FOR_EVER = "private, max-age=31536000, immutable"
HARMLESS = "default-src 'none'; sandbox"
"""The policy that images are sent with: whatever they are, nothing of them runs."""
Site = Annotated[str, msgspec.Meta(max_length=200, description="A site that this server shows; empty: its own.")]


class OfSite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which site."""

    site: Site = ""


class PagedOfSite(Paged, frozen=True):
    """Which part of a list of which site."""

    site: Site = ""


class WhichReferences(Paged, frozen=True):
    """Which records of a gallery: a part of all, or the one of an id."""

    site: Site = ""
    id: Annotated[str, msgspec.Meta(max_length=512)] = ""


class WhichImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How large an image is drawn: its longest edge in pixels."""

    edge: Annotated[int, msgspec.Meta(ge=LEAST_EDGE, le=MOST_EDGE)] = 256
    site: Site = ""


class Galleries(msgspec.Struct, frozen=True):
    """The galleries of a site, by name, and where it stands. A site without galleries has no `role`."""

    items: Sequence[GalleryShown]
    next: str
    site: str
    role: Literal["inner", "outer", "device", ""]
    stream: str = ""
    position: Standing | None = None
    enrolled: str = ""
    server: str = ""


class SetAside(msgspec.Struct, frozen=True):
    """Something that was set aside: a bundle, a change that could not be applied, or a record's refused image."""

    what: Literal["change", "file", "image"]
    name: str
    why: str
    gallery: str = ""
    kind: str = ""
    at: str = ""
    size: int | None = None
    times: int = 1
    healed: bool = False
    digest: str = ""


class GalleryDoors:
    """What the doors do."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def _at(self, given: Any) -> Path:
        return site_at(self._hub, given.site)

    async def galleries(self, request: Request) -> Response:
        """List galleries."""
        given = asked(request, PagedOfSite)
        told = await asyncio.to_thread(galleries.holding, self._at(given))
        if told is None:
            return answer(Galleries((), "", "", ""))
        some = part(told.galleries, given, lambda one: one.gallery)
        return answer(
            Galleries(
                some.items, some.next, told.site, told.role, told.stream, told.position, told.enrolled, told.server
            )
        )

    async def references(self, request: Request) -> Response:
        """List records of a gallery."""
        given = asked(request, WhichReferences)
        toml, name = self._at(given), request.path_params["gallery"]
        if given.id:
            one = await asyncio.to_thread(galleries.reference, toml, name, given.id)
            return answer(Page([one] if one is not None else []))
        after = key_of(given.after, str) or ""
        found = await asyncio.to_thread(galleries.references, toml, name, after, given.limit + 1)
        return answer(page(found, given.limit, lambda one: one.key))

    async def image(self, request: Request) -> Response:
        """Draw an image of a record."""
        given = asked(request, WhichImage)
        toml, digest = self._at(given), request.path_params["digest"]
        tag = f'"{digest}-{given.edge}"'
        content = await asyncio.to_thread(_drawn, toml, digest, given.edge)
        if content is None:
            raise HTTPException(404, "no record has such an image")
        return picture(request, content, tag)

    async def devices(self, request: Request) -> Response:
        """List devices."""
        given = asked(request, PagedOfSite)
        after = key_of(given.after, str) or ""
        told = await asyncio.to_thread(devices.fleet, self._at(given), after, given.limit + 1)
        return answer(page(told.devices if told else (), given.limit, lambda one: one.name))

    async def published(self, request: Request) -> Response:
        """List published models."""
        given = asked(request, PagedOfSite)
        found = await asyncio.to_thread(shelves.shelves, self._at(given))
        return answer(part(found, given, lambda one: one.model))

    async def held(self, request: Request) -> Response:
        """List what a device holds of published models."""
        given = asked(request, PagedOfSite)
        found = await asyncio.to_thread(shelves.held, self._at(given))
        return answer(part(sorted(found, key=_version), given, _version))

    async def grants(self, request: Request) -> Response:
        """List rules."""
        given = asked(request, PagedOfSite)
        told = await asyncio.to_thread(devices.fleet, self._at(given), "", 0)
        return answer(part(told.rules if told else (), given, lambda one: one.number))

    async def gate(self, request: Request) -> Response:
        """Tell where the gate stands."""
        told = await asyncio.to_thread(gates.gate, self._at(asked(request, OfSite)))
        if told is None:
            raise HTTPException(404, "the site has no gate of galleries")
        return answer(told)

    async def quarantine(self, request: Request) -> Response:
        """List what was set aside."""
        given = asked(request, PagedOfSite)
        told = await asyncio.to_thread(gates.quarantine, self._at(given), 10_000)
        return answer(part(_aside(told), given, lambda one: [one.what, one.gallery, one.name, one.digest]))

    async def acts(self, request: Request) -> Response:
        """List acts, newest first."""
        given = asked(request, PagedOfSite)
        before = key_of(given.after, Annotated[int, msgspec.Meta(ge=0, le=1 << 62)])
        found = await asyncio.to_thread(galleries.acts, self._at(given), before, given.limit + 1)
        return answer(page(found, given.limit, lambda one: one.number))


def _version(one: HeldShown) -> list[str]:
    return [one.model, one.state, one.version, one.digest]


def _drawn(toml: Path, digest: str, edge: int) -> bytes | None:
    content = galleries.reference_image(toml, digest)
    return None if content is None else small(content, edge) or b""


def picture(request: Request, content: bytes, tag: str) -> Response:
    """Answer with a drawn JPEG that never changes, or with the placeholder where nothing could be drawn."""
    headers = {"content-security-policy": HARMLESS, "x-content-type-options": "nosniff"}
    if not content:
        return Response(PLACEHOLDER, 200, {**headers, "cache-control": "no-store"}, "image/svg+xml")
    headers |= {"etag": tag, "cache-control": FOR_EVER}
    if tag in [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(content, 200, headers, "image/jpeg")


def _aside(told: gates.Quarantine) -> list[SetAside]:
    found = [
        *(SetAside("change", f"{one.number:012d}", one.why, one.gallery, at=one.at) for one in told.changes),
        *(
            SetAside(
                "file",
                one.file,
                one.why,
                "",
                one.kind,
                one.at.isoformat(),
                one.size,
                one.times,
                one.healed,
                one.digest,
            )
            for one in told.files
        ),
        *(SetAside("image", one.id, one.why, one.gallery) for one in told.images),
    ]
    return sorted(found, key=lambda one: (one.what, one.gallery, one.name, one.digest))


def doors(hub: Hub) -> list[Door]:
    """Return the doors."""
    at = GalleryDoors(hub)
    drawn = {"image/jpeg": None, "image/svg+xml": None}
    wrong = (404, 422)
    return [
        Door("GET", "/v1/galleries", at.galleries, "List the galleries of a site, and where it stands.",
             Role.VIEWER, PagedOfSite, good={200: {JSON: Galleries}}, bad=wrong),
        Door("GET", "/v1/galleries/audit", at.acts, "Show who did what with galleries, newest first.",
             Role.VIEWER, PagedOfSite, good={200: {JSON: Page[Act]}}, bad=wrong),
        Door("GET", "/v1/galleries/{gallery}/references", at.references, "List the records of a gallery.",
             Role.VIEWER, WhichReferences, good={200: {JSON: Page[Reference]}}, bad=wrong),
        Door("GET", "/v1/references/{digest}/image", at.image,
             "Draw an image of a record as JPEG; a placeholder (SVG) where it cannot be drawn.",
             Role.VIEWER, WhichImage, good={200: drawn, 304: {}}, bad=wrong),
        Door("GET", "/v1/devices", at.devices, "List devices, what they get and how far each is.",
             Role.VIEWER, PagedOfSite, good={200: {JSON: Page[DeviceShown]}}, bad=wrong),
        Door("GET", "/v1/devices/models", at.held, "List what a device holds of models, and what it uses.",
             Role.VIEWER, PagedOfSite, good={200: {JSON: Page[HeldShown]}}, bad=wrong),
        Door("GET", "/v1/published", at.published, "List the models that cross the gate, with all their versions.",
             Role.VIEWER, PagedOfSite, good={200: {JSON: Page[ShelfShown]}}, bad=wrong),
        Door("GET", "/v1/grants", at.grants, "List the rules that say which devices get which galleries.",
             Role.VIEWER, PagedOfSite, good={200: {JSON: Page[GrantShown]}}, bad=wrong),
        Door("GET", "/v1/gate", at.gate, "Tell where the gate stands, with alarms and what is missing.",
             Role.VIEWER, OfSite, good={200: {JSON: GateShown}}, bad=wrong),
        Door("GET", "/v1/quarantine", at.quarantine, "List bundles, changes and images set aside, and why.",
             Role.VIEWER, PagedOfSite, good={200: {JSON: Page[SetAside]}}, bad=wrong),
    ]  # fmt: skip


__all__ = ["FOR_EVER", "HARMLESS", "OfSite", "PagedOfSite", "Site", "doors", "picture"]
