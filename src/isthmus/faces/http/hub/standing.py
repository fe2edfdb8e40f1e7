"""The doors that are about the server itself: health, metrics, and the description of all doors."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from isthmus.app.product.metrics import part_families
from isthmus.core.errors import IsthmusError
from isthmus.core.prometheus import CONTENT_TYPE, Family, Sample, exposition
from isthmus.faces.http.answers import answer
from isthmus.faces.http.docs import STYLE, page
from isthmus.faces.http.doors import HTML, JSON, TEXT, Door
from isthmus.faces.http.hub.hub import Hub

_MANY = 200
_ASK_AGAIN = {"cache-control": "no-cache"}


class Health(msgspec.Struct, frozen=True):
    """Whether the server can do its work."""

    status: Literal["ok", "failing"]
    why: str = ""


class Counts:
    """Counts what was answered; takes the place of a log of calls."""

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, int]] = Counter()
        self.seconds = 0.0
        self.begun = time.time()

    def __call__(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        """Take one answer."""
        method, status, ms = fields.get("method"), fields.get("status"), fields.get("ms")
        if isinstance(status, int) and isinstance(ms, float | int):
            self.answered[str(method), status] += 1
            self.seconds += ms / 1000


class StandingDoors:
    """What belongs to nobody in particular."""

    def __init__(self, hub: Hub, counts: Counts, watchers: Callable[[], int]) -> None:
        self._hub, self._counts, self._watchers = hub, counts, watchers
        self.document: Mapping[str, Any] = {}
        self._json, self._page = b"", ""

    def doors(self) -> list[Door]:
        """Return the doors."""
        health = {200: {JSON: Health}, 503: {JSON: Health}}
        return [
            Door("GET", "/health", self.health, "Tell whether the server can do its work.", good=health),
            Door("GET", "/metrics", self.metrics, "Tell the metrics, for Prometheus.", good={200: {TEXT: None}}),
            Door("GET", "/openapi.json", self.openapi, "Send this description.", good={200: {JSON: None}}),
            Door("GET", "/docs", self.docs, "Send this description as a page.", good={200: {HTML: None}}),
            Door("GET", "/docs.css", self.style, "Send the page's style.", good={200: {"text/css": None}}),
        ]

    async def health(self, _: Request) -> Response:
        """Tell whether the server can do its work: whether it reads what it knows."""
        try:
            await asyncio.to_thread(self._hub.works.latest, 1)
        except (OSError, IsthmusError) as error:
            return answer(Health("failing", str(error)), 503)
        return answer(Health("ok"))

    async def metrics(self, _: Request) -> Response:
        """Tell the metrics."""
        works = await asyncio.to_thread(self._hub.works.latest, _MANY)
        states = Counter(str(one.state) for one in works)
        parts = await asyncio.to_thread(lambda: list(part_families(self._hub.toml)))
        return PlainTextResponse(exposition([*self._families(states), *parts]), media_type=CONTENT_TYPE)

    async def openapi(self, _: Request) -> Response:
        """Send the description of all doors."""
        self._json = self._json or msgspec.json.encode(self.document)
        return Response(self._json, media_type=JSON, headers=_ASK_AGAIN)

    async def docs(self, _: Request) -> Response:
        """Send the description as a page."""
        self._page = self._page or page(self.document)
        return HTMLResponse(self._page, headers=_ASK_AGAIN)

    async def style(self, _: Request) -> Response:
        """Send the style of that page."""
        return Response(STYLE, media_type="text/css", headers=_ASK_AGAIN)

    def _families(self, states: Mapping[str, int]) -> Iterator[Family]:
        counts = self._counts
        calls = [
            Sample({"method": method, "status": str(status)}, many)
            for (method, status), many in sorted(counts.answered.items())
        ]
        yield Family("isthmus_http_requests_total", "counter", "Calls answered.", calls)
        yield Family(
            "isthmus_http_seconds_total", "counter", "Time spent on them.", [Sample({}, round(counts.seconds, 3))]
        )
        works = [Sample({"state": state}, many) for state, many in sorted(states.items())]
        yield Family("isthmus_works", "gauge", f"The latest {_MANY} operations by state.", works)
        yield Family(
            "isthmus_watchers", "gauge", "Streams of events that are open.", [Sample({}, self._watchers())]
        )
        yield Family(
            "isthmus_start_time_seconds", "gauge", "When the server began.", [Sample({}, round(counts.begun, 3))]
        )
