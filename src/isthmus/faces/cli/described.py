"""The description of the whole API (OpenAPI 3.1), without any site: for the book and the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isthmus.app.clock import SystemClock
from isthmus.app.console import ConsolePart
from isthmus.app.people.person import Person
from isthmus.app.works.happening import Take
from isthmus.app.works.work import Operation, Work
from isthmus.core.errors import Refused
from isthmus.faces.cli.catalogue import recipes
from isthmus.faces.http.hub.application import description_of
from isthmus.faces.http.hub.guard import SessionGuard
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.sessions import Desk


class _Named:
    """Operations that are named but never run."""

    def operations(self) -> Mapping[str, Operation]:
        return {name: recipe.operation for name, recipe in recipes().items()}

    def start(
        self, operation: str, arguments: Mapping[str, Any], by: Person, files: Mapping[str, bytes] | None = None
    ) -> Work:
        raise Refused("nothing is run here")

    def get(self, id: str) -> Work:
        raise Refused("nothing is run here")

    def latest(self, most: int = 50, before: str = "") -> Sequence[Work]:
        return []

    def cancel(self, id: str, by: Person) -> Work:
        raise Refused("nothing is run here")

    def file(self, id: str, name: str) -> Path:
        raise Refused("nothing is run here")

    def secretly(self, id: str, name: str) -> bytes | None:
        return None

    def watch(self, take: Take, after: str = "") -> tuple[Callable[[], None], bool]:
        return lambda: None, True


def described() -> dict[str, Any]:
    """Return the OpenAPI document with every door and every operation."""
    clock, site = SystemClock(), Path("isthmus.toml")
    guard = SessionGuard(Desk(Path("people.sqlite"), clock), ConsolePart())
    return description_of(Hub(site, (site,), guard, _Named(), clock))
