"""What surrounds every page: who asks, in which language and theme, and the templates.

A page's endpoint is made a route by `Frame.at`, which asks the guard before anything is read, and answers with
`Frame.page`. A call by htmx (header `HX-Request`) is given the page's block `content` alone, so what a template
defines for itself, such as a macro, stands inside that block.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, tzinfo
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from isthmus.app.people.person import Person, Role
from isthmus.core.errors import Busy, InputError, IsthmusError, Refused, UnknownName
from isthmus.faces.console.acting import Acting
from isthmus.faces.console.filters import FILTERS
from isthmus.faces.console.words import LANGUAGES, Words, chosen
from isthmus.faces.http.hub.hub import Hub

Endpoint = Callable[[Request], Awaitable[Response]]
_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
_THEMES = ("auto", "light", "dark")
_YEAR_S = 365 * 86_400
_STATUS: tuple[tuple[type[IsthmusError], int], ...] = (
    (UnknownName, 404), (Refused, 403), (Busy, 409), (InputError, 422), (IsthmusError, 500),
)  # fmt: skip
PAGES = (
    ("overview", "/", "o"),
    ("acquire", "/acquire", "a"),
    ("scenes", "/scenes", "s"),
    ("runs", "/runs", "r"),
    ("galleries", "/galleries", "l"),
    ("recovery", "/recovery", "c"),
    ("work", "/works", "w"),
    ("people", "/people", "p"),
)
"""The pages in the order of the navigation: name, path, and the key that leads there after `g`."""


class _Statics(StaticFiles):
    """Files under a path that changes with their content, so that browsers keep them for good."""

    def file_response(self, *args: Any, **more: Any) -> Response:
        response = super().file_response(*args, **more)
        response.headers["cache-control"] = f"public, max-age={_YEAR_S}, immutable"
        return response


class Frame:
    """Renders pages for whoever asks."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(FILTERS)
        self.static = f"/static/{_digest(_STATIC)}"
        self.site, self.zone = _site_of(hub.toml)

    def routes(self) -> list[BaseRoute]:
        """Return the routes of what all pages load, and of the choice of language and theme."""
        return [Mount(self.static, _Statics(directory=_STATIC)), Route("/look", _look, methods=["POST"])]

    def at(
        self, path: str, endpoint: Endpoint, *, role: Role = Role.VIEWER, methods: tuple[str, ...] = ("GET",)
    ) -> Route:
        """Make a page's route. `endpoint` is called once the guard let the one who asks pass.

        Whoever has no session is led to the login page; a mistake of the caller becomes a page that says it.
        """

        async def guarded(request: Request) -> Response:
            try:
                await self.need(request, role)
                return await endpoint(request)
            except HTTPException as error:
                if error.status_code == 401:
                    return _to_login(request)
                return await self._wrong(request, error.status_code, error.detail, "")
            except IsthmusError as error:
                status = next(status for kind, status in _STATUS if isinstance(error, kind))
                return await self._wrong(request, status, error.what, error.hint)

        return Route(path, guarded, methods=list(methods), name=endpoint.__name__)

    async def need(self, request: Request, role: Role = Role.VIEWER) -> Person:
        """Return who asks; the guard is asked once a request. Raises HTTPException 401 or 403."""
        known: Person | None = getattr(request.state, "person", None)
        if known is None or not known.may(role):
            known = await self._hub.guard.need(request, role)
            request.state.person = known
        return known

    async def page(
        self, request: Request, template: str, *, role: Role = Role.VIEWER, status: int = 200, **values: Any
    ) -> Response:
        """Render a template for who asks, with what every template knows and the given values.

        A browser without a session is led to the login page. Raises HTTPException 403.
        """
        try:
            person = await self.need(request, role)
        except HTTPException as error:
            if error.status_code == 401:
                return _to_login(request)
            raise
        return self.render(request, template, person, status=status, **values)

    def render(
        self, request: Request, template: str, person: Person | None, *, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """Render a template for anybody, also for nobody yet: the login page."""
        known = self._known(request, person) | values
        parts = self._templates.get_template("parts.html").make_module(known)
        known |= {name: getattr(parts, name) for name in ("table", "pager", "empty", "chart", "badge", "meter")}
        found = self._templates.get_template(template)
        content = found.blocks.get("content") if _wants_part(request) else None
        text = "".join(content(found.new_context(known))) if content else found.render(known)
        return HTMLResponse(
            text, status, {"vary": "HX-Request, Accept-Language, Cookie", "cache-control": "no-store"}
        )

    def words(self, request: Request) -> Words:
        """Return the words in the language of who asks."""
        return Words(chosen(request.cookies.get("language", ""), request.headers.get("accept-language", "")))

    def _known(self, request: Request, person: Person | None) -> dict[str, Any]:
        t = self.words(request)
        theme = request.cookies.get("theme", "auto")
        csrf = self._hub.guard.token(request) if person else ""
        acting = Acting(self._templates, self._hub, t, person, csrf)
        return {
            "t": t,
            "person": person,
            "csrf": csrf,
            "act": acting.act,
            "command": acting.command,
            "secret": self._secret,
            "path": request.url.path,
            "query": request.query_params,
            "language": t.language,
            "theme": theme if theme in _THEMES else "auto",
            "themes": _THEMES,
            "languages": LANGUAGES,
            "pages": PAGES,
            "static": self.static,
            "site": self.site,
            "now": self._hub.clock.now(),
            "version": _version(),
            "roles": Role,
            "zone": self.zone,
        }

    def _secret(self, operation: str) -> bool:
        """Tell whether what an operation tells is for the one alone who began it."""
        found = self._hub.works.operations().get(operation)
        return found is not None and found.secret

    async def _wrong(self, request: Request, status: int, what: str, hint: str) -> Response:
        person: Person | None = getattr(request.state, "person", None)
        return self.render(request, "wrong.html", person, status=status, code=status, what=what, hint=hint)


async def _look(request: Request) -> Response:
    """Keep how pages look to this browser: `language`, `theme`; then go back to `next`."""
    form = await request.form()
    response = RedirectResponse(local(str(form.get("next", "/"))), 303)
    for name, known in (("language", LANGUAGES), ("theme", _THEMES)):
        value = form.get(name)
        if value in known:
            response.set_cookie(name, str(value), max_age=_YEAR_S, samesite="lax", httponly=True)
    return response


def local(place: str) -> str:
    """Return a place to go to within this server; `/` where it is none.

    Browsers take a backslash for a slash, and leave out tabs and ends of lines: both would lead elsewhere.
    """
    inside = place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable()
    return place if inside else "/"


def _to_login(request: Request) -> Response:
    """Lead to the login page and, from there, back to the page that was looked at."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if "hx-request" in request.headers:  # what was asked for is a part of that page
        here = local(_within(request.headers.get("hx-current-url", "/")))
    elif request.method != "GET":
        here = "/"
    place = f"/login?next={quote(here, safe='')}"
    if "hx-request" in request.headers:
        return Response(status_code=200, headers={"hx-redirect": place})
    return RedirectResponse(place, 303)


def _within(url: str) -> str:
    """Return the path and the parameters of an address; `/` where it is none."""
    try:
        seen = urlsplit(url)
    except ValueError:
        return "/"
    return seen.path + (f"?{seen.query}" if seen.query else "")


def _wants_part(request: Request) -> bool:
    headers = request.headers
    whole = headers.get("hx-target", "").partition("#")[0] == "body" or "hx-history-restore-request" in headers
    return "hx-request" in headers and not whole


def _site_of(toml: Path) -> tuple[str, tzinfo]:
    """Return a site's name and time zone, also where the rest of its TOML is wrong."""
    try:
        part: Mapping[str, Any] = tomllib.loads(toml.read_text("utf-8-sig")).get("site", {})
    except (OSError, ValueError):
        part = {}
    try:
        zone: tzinfo = ZoneInfo(str(part.get("timezone", "UTC")))
    except (KeyError, ValueError, OSError):
        zone = UTC
    return str(part.get("name", toml.resolve().parent.name)), zone


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            found.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return found.hexdigest()[:12]


def _version() -> str:
    try:
        return metadata.version("isthmus")
    except metadata.PackageNotFoundError:
        return ""


__all__ = ["PAGES", "Frame", "local"]
