"""The page for a browser that asks for what is not there; programs are told by a problem, as everywhere."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from isthmus.faces.console.frame import Frame

_NO_PAGES = ("/v1/", "/static/")


class Lost(Route):
    """Matches whatever a browser goes to that is no page, and nothing else: all other answers stay theirs."""

    def __init__(self, frame: Frame) -> None:
        super().__init__("/{path:path}", frame.at("/{path:path}", _lost).endpoint, methods=["GET"])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether a call is a browser's that looks for a page."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"].startswith(_NO_PAGES):
            return Match.NONE, {}
        if b"text/html" not in dict(scope["headers"]).get(b"accept", b""):
            return Match.NONE, {}
        return super().matches(scope)


async def _lost(request: Request) -> Response:
    raise HTTPException(404, f"there is no page at {request.url.path[:200]}")
