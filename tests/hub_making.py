"""A server of pages for tests: the real frame and pages, doubles for the guard and for what runs operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.testclient import TestClient

from isthmus.app.people.person import Person, Role
from isthmus.app.works.happening import Happenings, Take
from isthmus.app.works.work import Operation, Work
from isthmus.core.errors import InputError, UnknownName
from isthmus.core.ports import Clock
from isthmus.faces.cli.catalogue import recipes
from isthmus.faces.console.frame import Frame
from isthmus.faces.console.pages import routes
from isthmus.faces.http.hub.hub import Hub

BEGUN = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
TOKEN = "the-session-token"


class Still:
    """A clock that stands, until it is moved."""

    def __init__(self) -> None:
        self.moment = BEGUN

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - BEGUN).total_seconds()


@dataclass
class OneGuard:
    """Lets one person in, or nobody. A change needs the token, as in earnest."""

    person: Person | None

    async def need(self, connection: HTTPConnection, role: Role = Role.VIEWER) -> Person:
        if self.person is None:
            raise HTTPException(401, "log in")
        if not self.person.may(role):
            raise HTTPException(403, f"this needs the role {role}")
        if isinstance(connection, Request) and connection.method not in ("GET", "HEAD"):
            given = connection.headers.get("x-csrf-token") or (await connection.form()).get("csrf")
            if given != TOKEN:
                raise HTTPException(403, "the session's token is missing")
        return self.person

    def token(self, connection: HTTPConnection) -> str:
        return TOKEN if self.person else ""


@dataclass
class NotedWorks:
    """Notes what is begun and runs nothing; a test sets what became of it by `become`."""

    folder: Path
    known: Mapping[str, Operation]
    begun: list[Work] = field(default_factory=list)
    given: list[Mapping[str, bytes]] = field(default_factory=list)
    happenings: Happenings = field(default_factory=Happenings)

    def operations(self) -> Mapping[str, Operation]:
        return self.known

    def start(
        self, operation: str, arguments: Mapping[str, Any], by: Person, files: Mapping[str, bytes] | None = None
    ) -> Work:
        if operation not in self.known:
            raise UnknownName.among("operation", operation, self.known)
        names = {one.name for one in self.known[operation].parameters}
        if stray := set(arguments) - names:
            raise InputError(f"{operation} takes no {', '.join(sorted(stray))}", f"it takes {sorted(names)}")
        at = BEGUN + timedelta(seconds=len(self.begun))
        work = Work(
            f"w{len(self.begun) + 1}", operation, dict(arguments), f"isthmus {operation}", by.name, "running", at
        )
        self.begun.append(work)
        self.given.append(dict(files or {}))
        return work

    def become(self, id: str, **values: Any) -> Work:
        """Change how a work stands."""
        for place, one in enumerate(self.begun):
            if one.id == id:
                self.begun[place] = replace(one, **values)
                return self.begun[place]
        raise UnknownName(f"there is no work {id}")

    def get(self, id: str) -> Work:
        return self.become(id)

    def latest(self, most: int = 50, before: str = "") -> Sequence[Work]:
        newest = self.begun[::-1]
        if before:
            newest = newest[[one.id for one in newest].index(before) + 1 :]
        return newest[:most]

    def cancel(self, id: str, by: Person) -> Work:
        return self.become(id, state="cancelled", ended=BEGUN + timedelta(minutes=1))

    def file(self, id: str, name: str) -> Path:
        return self.folder / id / name

    def secretly(self, id: str, name: str) -> bytes | None:
        return None

    def watch(self, take: Take, after: str = "") -> tuple[Callable[[], None], bool]:
        return self.happenings.watch(take, after)


@dataclass
class Made:
    """The application, and what it works with."""

    app: Starlette
    hub: Hub
    frame: Frame
    works: NotedWorks
    guard: OneGuard
    clock: Clock

    def client(self, **more: Any) -> TestClient:
        """Return a client that follows no redirect unless told."""
        return TestClient(self.app, **({"follow_redirects": False} | more))


def made_hub(
    tmp_path: Path,
    role: Role | None = Role.ADMIN,
    toml: str | Path = '[site]\nname = "inner"\n',
    sites: Sequence[Path] = (),
    clock: Clock | None = None,
) -> Made:
    """Make the application of pages. `toml` is a TOML's text, or where one lies; no role: nobody is logged in."""
    file = toml if isinstance(toml, Path) else tmp_path / "isthmus.toml"
    if isinstance(toml, str):
        file.write_text(toml, "utf-8")
    clock = clock or Still()
    guard = OneGuard(None if role is None else Person("ada", role, "session"))
    works = NotedWorks(tmp_path, operations())
    hub = Hub(file, (file, *sites), guard, works, clock)
    frame = Frame(hub)

    app = Starlette(routes=routes(hub, frame))
    return Made(app, hub, frame, works, guard, clock)


def operations() -> Mapping[str, Operation]:
    """Read the operations off the command line's tree, as in earnest."""
    return {name: recipe.operation for name, recipe in recipes().items()}


_VOID = ("meta", "link", "img", "input", "br", "hr", "source", "col", "wbr")


class _Shape(HTMLParser):
    """Finds tags that are not closed in order, ids that stand twice, and what the content policy forbids."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.flaws: list[str] = []
        self.labelled: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag not in _VOID:
            self.open.append(tag)
        if known.get("id"):
            self.ids.append(str(known["id"]))
        self.flaws += [f"<{tag} {name}>" for name in known if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in known):
            self.flaws.append(f"inline <{tag}>")
        for name in ("src", "href", "action"):
            if str(known.get(name) or "").startswith(("http:", "https:", "//", "javascript:")):
                self.flaws.append(f"<{tag} {name}={known[name]}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.flaws.append(f"</{tag}> at line {self.getpos()[0]} closes nothing that is open there")


def flaws(html: str) -> list[str]:
    """Return what is wrong with a page: tags out of order, ids twice, inline script or style, foreign links."""
    shape = _Shape()
    shape.feed(html)
    shape.close()
    twice = {id for id in shape.ids if shape.ids.count(id) > 1}
    return (
        shape.flaws
        + [f"<{tag}> is not closed" for tag in shape.open]
        + [f"the id {id} stands twice" for id in twice]
    )
