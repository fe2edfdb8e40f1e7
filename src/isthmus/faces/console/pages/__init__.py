"""The console's pages, one module each: `routes(hub, frame)` returns its routes."""

from __future__ import annotations

from importlib import import_module

from starlette.routing import BaseRoute

from isthmus.faces.console.frame import Frame
from isthmus.faces.http.hub.hub import Hub

MODULES = (
    "overview",
    "acquire",
    "galleries",
    "recovery",
    "work",
    "act",
    "people",
    "scenes",
    "runs",
)


def routes(hub: Hub, frame: Frame | None = None) -> list[BaseRoute]:
    """Return the routes of all pages, and of what they load."""
    frame = frame or Frame(hub)
    found = frame.routes()
    for name in MODULES:
        found += import_module(f"isthmus.faces.console.pages.{name}").routes(hub, frame)
    return found
