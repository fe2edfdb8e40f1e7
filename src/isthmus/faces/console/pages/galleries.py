"""The pages of galleries: what each holds, one record, devices, the gate, and who did what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from isthmus.app.views import devices, galleries, gates, shelves
from isthmus.app.views.galleryshapes import Holding
from isthmus.core.errors import InputError, UnknownName
from isthmus.faces.console.frame import Frame
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.shownsites import sites_with

TABLES = ("gallery", "device")
_AT_ONCE = 24
_DEVICES = 50
_ACTS = 50
_ASIDE = 100


@dataclass(frozen=True, slots=True)
class _Seen:
    """Which site a page is about. `own`: it is the server's, so that its operations can be run here."""

    name: str
    toml: Path
    own: bool
    sites: Sequence[str]
    holding: Holding


def routes(hub: Hub, frame: Frame) -> list[BaseRoute]:
    """Return the pages' routes."""
    pages = _Pages(hub, frame)
    return [
        frame.at("/galleries", pages.galleries),
        frame.at("/galleries/devices", pages.devices),
        frame.at("/galleries/devices/{name}", pages.device),
        frame.at("/galleries/models", pages.models),
        frame.at("/galleries/gate", pages.gate),
        frame.at("/galleries/history", pages.history),
        frame.at("/galleries/of/{gallery:path}", pages.records),
    ]


class _Pages:
    def __init__(self, hub: Hub, frame: Frame) -> None:
        self._hub, self._frame = hub, frame

    async def galleries(self, request: Request) -> Response:
        """Show what each gallery holds."""
        return await self._shown(request, "galleries.html", "galleries", lambda seen: {})

    async def records(self, request: Request) -> Response:
        """Show the records of a gallery, or one of them."""
        gallery, id = request.path_params["gallery"], request.query_params.get("id", "").strip()
        if id:
            return await self._shown(
                request, "galleries_record.html", "galleries", lambda seen: _one(seen, gallery, id)
            )
        after = request.query_params.get("after", "")
        return await self._shown(
            request, "galleries_of.html", "galleries", lambda seen: _some(seen, gallery, after)
        )

    async def devices(self, request: Request) -> Response:
        """Show devices, what they get, and how far each is."""
        after = request.query_params.get("after", "")
        return await self._shown(request, "galleries_devices.html", "devices", lambda seen: _fleet(seen, after))

    async def device(self, request: Request) -> Response:
        """Show one device."""
        name = request.path_params["name"]
        return await self._shown(request, "galleries_device.html", "devices", lambda seen: _device(seen, name))

    async def models(self, request: Request) -> Response:
        """Show which models are published, and which device holds which."""
        after = request.query_params.get("after", "")
        portables = list(sites_with(self._hub, ("device",)).values())
        return await self._shown(
            request, "galleries_models.html", "models", lambda seen: _models(seen, after, portables)
        )

    async def gate(self, request: Request) -> Response:
        """Show where the gate stands, and what was set aside."""
        return await self._shown(
            request,
            "galleries_gate.html",
            "gate",
            lambda seen: {"gate": gates.gate(seen.toml), "aside": gates.quarantine(seen.toml, _ASIDE)},
        )

    async def history(self, request: Request) -> Response:
        """Show who did what."""
        text = request.query_params.get("after", "")
        if text and not (text.isdecimal() and len(text) < 19):
            raise InputError("that is no place in the list", "begin at the start of it")
        return await self._shown(
            request, "galleries_history.html", "history", lambda seen: _acts(seen, int(text) if text else None)
        )

    async def _shown(self, request: Request, template: str, section: str, looked: Any) -> Response:
        """Look at a site in a thread, and show what was seen; a site without galleries says so."""

        def look() -> tuple[_Seen, Mapping[str, Any]] | None:
            seen = self._seen(request.query_params.get("site", ""))
            return None if seen is None else (seen, looked(seen))

        found = await asyncio.to_thread(look)
        if found is None:
            return await self._frame.page(request, "galleries_none.html")
        seen, values = found
        return await self._frame.page(request, template, seen=seen, section=section, **values)

    def _seen(self, name: str) -> _Seen | None:
        sites = sites_with(self._hub, TABLES)
        if name and name not in sites:
            raise UnknownName.among("site", name, sites)
        name = name or next(iter(sites), "")
        held = galleries.holding(sites[name]) if name else None
        if held is None:
            return None
        return _Seen(name, sites[name], sites[name] == self._hub.toml, list(sites), held)


def _some(seen: _Seen, gallery: str, after: str) -> dict[str, Any]:
    found = galleries.references(seen.toml, gallery, after, _AT_ONCE + 1)
    shown = next((one for one in seen.holding.galleries if one.gallery == gallery), None)
    if shown is None:  # it came just now, or is none to look at
        raise UnknownName.among("gallery", gallery, [one.gallery for one in seen.holding.galleries])
    next_ = found[_AT_ONCE - 1].key if len(found) > _AT_ONCE else ""
    return {"gallery": shown, "records": found[:_AT_ONCE], "next": next_}


def _one(seen: _Seen, gallery: str, id: str) -> dict[str, Any]:
    found = galleries.reference(seen.toml, gallery, id)
    if found is None:
        raise UnknownName(f"{gallery} has no record {id!r}", "look through its records")
    return {"gallery": gallery, "record": found}


def _fleet(seen: _Seen, after: str) -> dict[str, Any]:
    told = devices.fleet(seen.toml, after, _DEVICES + 1)
    found = told.devices if told else ()
    next_ = found[_DEVICES - 1].name if len(found) > _DEVICES else ""
    return {"fleet": told, "devices": found[:_DEVICES], "next": next_}


def _models(seen: _Seen, after: str, portables: Sequence[Path]) -> dict[str, Any]:
    """Gather what is published, the gate that it crosses, and what devices have of it.

    Only a device knows whether it uses what it holds: those whose sites are shown here are asked.
    """
    told = _fleet(seen, after) if seen.holding.role == "outer" else {"fleet": None, "devices": (), "next": ""}
    there = shelves.held_by_name(portables) if told["devices"] else {}
    return told | {
        "shelves": shelves.shelves(seen.toml),
        "held": shelves.held(seen.toml),
        "there": there,
        "gate": gates.gate(seen.toml) if seen.holding.gated else None,
    }


def _device(seen: _Seen, name: str) -> dict[str, Any]:
    told = devices.one(seen.toml, name)
    if told is None:
        raise UnknownName(f"unknown device {name!r}", "look through the devices")
    return {"device": told}


def _acts(seen: _Seen, before: int | None) -> dict[str, Any]:
    found = galleries.acts(seen.toml, before, _ACTS + 1)
    next_ = str(found[_ACTS - 1].number) if len(found) > _ACTS else ""
    return {"acts": found[:_ACTS], "next": next_}
