"""People for tests: a clock moved by hand, quick hashing, a server with the real guard, doors and pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from hub_making import NotedWorks, operations
from isthmus.app.console import ConsolePart
from isthmus.app.people.access import Access
from isthmus.app.people.passwords import Passwords
from isthmus.app.people.person import Person, Role
from isthmus.app.people.rules import Lasting
from isthmus.app.people.trail import Actor
from isthmus.app.works.work import Work
from isthmus.core.errors import Refused
from isthmus.faces.console.application import site_application
from isthmus.faces.http.hub.guard import SessionGuard
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.sessions import Desk

SHELL = Actor("root@shell", "command line")
PASSWORD = "correct horse battery"
BEGUN = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Hand:
    """A clock that stands until it is moved, either way."""

    def __init__(self) -> None:
        self.moment = BEGUN

    def now(self) -> datetime:
        return self.moment

    def move(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class Counting:
    """A hasher that counts its calls, and hashes quickly."""

    hashed: int = 0
    verified: list[str] = field(default_factory=list)

    def hash(self, password: str) -> str:
        self.hashed += 1
        return QUICK.hash(password)

    def verify(self, hash: str, password: str) -> bool:
        self.verified.append(hash)
        return QUICK.verify(hash, password)

    def check_needs_rehash(self, hash: str) -> bool:
        return QUICK.check_needs_rehash(hash)


def made_access(folder: Path, clock: Hand | None = None, lasting: Lasting | None = None) -> Access:
    """Open a people file."""
    return Access(folder / "people.sqlite", clock or Hand(), lasting)


def enter(access: Access, name: str, password: str = PASSWORD, where: str = "10.0.0.1", before: str = "") -> str:
    """Log in by the two halves; returns the token, empty where it failed or one must wait."""
    trial = access.begin(name, where)
    if not hasattr(trial, "stored"):
        return ""
    return access.conclude(trial, Passwords(Counting()).fits(trial.stored, password), "", before)


def hashed(password: str = PASSWORD) -> str:
    """Hash a password quickly."""
    return QUICK.hash(password)


class RankedWorks(NotedWorks):
    """Begins an operation only for who may, as in earnest."""

    def start(
        self, operation: str, arguments: Mapping[str, Any], by: Person, files: Mapping[str, bytes] | None = None
    ) -> Work:
        if operation in self.known and not by.may(self.known[operation].role):
            raise Refused(f"{operation} needs the role {self.known[operation].role}")
        return super().start(operation, arguments, by, files)


@dataclass
class Served:
    """The application with its people, and the means to look behind it."""

    app: Any
    guard: SessionGuard
    clock: Hand
    folder: Path
    hasher: Counting
    said: list[str]

    def client(self, host: str = "127.0.0.1", base: str = "http://127.0.0.1:8480", **more: Any) -> TestClient:
        """Return a browser or program at an address, which follows no redirect unless told."""
        return TestClient(self.app, base, client=(host, 50000), **({"follow_redirects": False} | more))

    def access(self) -> Access:
        """Open the people file beside the server, as the command line does."""
        return Access(self.folder / "people.sqlite", self.clock)

    def log_in(self, client: TestClient, name: str = "ada", password: str = PASSWORD) -> httpx.Response:
        """Send the form of the login page as a browser does."""
        return client.post("/login", data={"name": name, "password": password}, headers=OWN)

    def csrf(self, client: TestClient) -> str:
        """Return the token that the pages of a client's session bear."""
        return str(client.get("/v1/session").json()["csrf"])


OWN = {"sec-fetch-site": "same-origin"}
"""What a browser says of a form of our own pages."""


def served(tmp_path: Path, people: Mapping[str, Role] | None = None, part: ConsolePart | None = None) -> Served:
    """Make the application of pages and doors with people, all with the same password."""
    clock, hasher, said = Hand(), Counting(), list[str]()
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "inner"\n[console]\n')
    with made_access(tmp_path, clock) as access:
        for name, role in ({"ada": Role.ADMIN} if people is None else people).items():
            access.people.add(name, role, hashed(), SHELL)
    part = part or ConsolePart()
    desk = Desk(
        tmp_path / "people.sqlite",
        clock,
        Lasting(part.session_hours * 3600, part.idle_minutes * 60),
        lambda: Passwords(hasher),
    )
    guard = SessionGuard(desk, part, "t")
    hub = Hub(toml, (toml,), guard, RankedWorks(tmp_path, operations()), clock, said.append)
    return Served(site_application(hub), guard, clock, tmp_path, hasher, said)


def tokens(client: TestClient) -> dict[str, str]:
    """Return the cookies that a client holds."""
    return dict(client.cookies.items())


def texts(html: str) -> str:
    """Return a page's text without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())
