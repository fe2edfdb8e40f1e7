"""The doors that are about the server itself: health, metrics, sessions, keys, environments, audit, the pages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

from isthmus.acquire.server.keys import CLIENT
from isthmus.acquire.server.service import AcquireService
from isthmus.core.prometheus import CONTENT_TYPE
from isthmus.faces.http import reading
from isthmus.faces.http.acquire import shapes
from isthmus.faces.http.acquire.guard import ANYBODY, RULES, SEES, begin_session, end_session, key_of
from isthmus.faces.http.answers import answer
from isthmus.faces.http.docs import STYLE, page
from isthmus.faces.http.doors import Nothing

_ASK_AGAIN = {"cache-control": "no-cache"}


def console() -> Path | None:
    """Return the folder of the page; None where it is not installed."""
    folder = Path(str(resources.files("isthmus.faces"))) / "console"
    return folder if (folder / "index.html").is_file() else None


class _Assets(StaticFiles):
    """Files that browsers ask for again each time, so that a new version is never mixed with an old one."""

    def file_response(self, *args: Any, **more: Any) -> Response:
        response = super().file_response(*args, **more)
        response.headers.update(_ASK_AGAIN)
        return response


def assets(folder: Path) -> StaticFiles:
    """Serve what the page consists of."""
    inner = folder / "assets"
    return _Assets(directory=inner if inner.is_dir() else folder)


class SiteDoors:
    """What belongs to nobody's requests."""

    def __init__(self, service: AcquireService) -> None:
        self._service = service
        self.openapi_document: Mapping[str, Any] = {}

    async def health(self, _: Request) -> Response:
        """Tell whether the server can do its work."""
        well, why = self._service.healthy()
        return answer(shapes.Health("ok" if well else "failing", why), 200 if well else 503)

    async def metrics(self, _: Request) -> Response:
        """Tell the metrics."""
        return PlainTextResponse(await self._service.exposition(), media_type=CONTENT_TYPE)

    async def me(self, request: Request) -> Response:
        """Tell who asks."""
        key = await key_of(request, self._service, ANYBODY)
        return answer(shapes.Me(key.name, key.role, key.environment))

    async def log_in(self, request: Request) -> Response:
        """Begin a session of the page."""
        service = self._service
        given = await reading.body(request, shapes.LogIn, service.settings.body_s)
        key = await service.key_of(given.key)
        if key is None or key.role not in SEES:
            service.counts.refused["key"] += 1
            raise HTTPException(401, "this is no key for the page")
        response = answer(shapes.Me(key.name, key.role, key.environment))
        begin_session(request, response, service, key)
        return response

    async def log_out(self, _: Request) -> Response:
        """End the session."""
        response = Response(status_code=204)
        end_session(response)
        return response

    async def environments(self, request: Request) -> Response:
        """Show all environments."""
        service = self._service
        key = await key_of(request, service, SEES)
        reading.query(request, Nothing)
        depths = await service.threads.run(service.ledger.depths, service.clock.now())
        heard = {} if key.role == CLIENT else service.counts.heard
        return answer([shapes.environment_shown(one, heard) for one in depths])

    async def audit(self, request: Request) -> Response:
        """Show who did what."""
        service = self._service
        await key_of(request, service, RULES)
        asked = reading.query(request, shapes.WhichActs)
        found = await service.journal.entries(asked.after, asked.most)
        acts = [shapes.AuditShown(one.number, one.at, one.who, one.act, one.subject, one.detail) for one in found]
        return answer(acts)

    async def keys(self, request: Request) -> Response:
        """Show all keys; never their texts."""
        service = self._service
        await key_of(request, service, RULES)
        reading.query(request, Nothing)
        found = await service.threads.run(service.ledger.keys)
        return answer(
            [shapes.KeyShown(one.name, one.role, one.environment, one.made, one.revoked) for one in found]
        )

    async def make_key(self, request: Request) -> Response:
        """Make a key."""
        service = self._service
        by = await key_of(request, service, RULES)
        new = await reading.body(request, shapes.NewKey, service.settings.body_s)
        if any(one.name == new.name for one in await service.threads.run(service.ledger.keys)):
            raise HTTPException(409, f"there is a key {new.name!r} already; choose another name")
        text = await service.make_key(by.name, new.name, new.role, new.environment)
        return answer(
            shapes.MadeKey(new.name, new.role, text, new.environment), 201, {"cache-control": "no-store"}
        )

    async def revoke_key(self, request: Request) -> Response:
        """Revoke a key."""
        service = self._service
        by = await key_of(request, service, RULES)
        reading.query(request, Nothing)
        await service.revoke_key(by.name, request.path_params["name"])
        return Response(status_code=204)

    async def openapi(self, _: Request) -> Response:
        """Send the description of all doors."""
        return Response(msgspec.json.encode(self.openapi_document), media_type="application/json")

    async def docs(self, _: Request) -> Response:
        """Send the description as a page."""
        return HTMLResponse(page(self.openapi_document), headers=_ASK_AGAIN)

    async def style(self, _: Request) -> Response:
        """Send the style of that page."""
        return Response(STYLE, media_type="text/css")

    async def index(self, _: Request) -> Response:
        """Send the page."""
        folder = console()
        if folder is None:
            raise HTTPException(404, "the page is not installed; see /docs")
        return FileResponse(folder / "index.html", headers=_ASK_AGAIN)
