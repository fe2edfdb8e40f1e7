"""Who wants the token of somebody else's invitation: other people, keys, the files, the logs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gallery_sites import SYNC, UNGATED, write
from hub_serving import Served, serving
from isthmus.app.clock import SystemClock
from isthmus.app.console import read_console_config
from isthmus.app.people.access import Access
from isthmus.app.people.passwords import Passwords
from isthmus.app.people.person import Role
from isthmus.app.people.trail import Actor
from isthmus.faces.cli.catalogue import recipes

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Invited:
    """A server, the work by which the admin ada invited a device, and the token that it printed."""

    server: Served
    ada: httpx.Client
    id: str
    token: str

    def reads(self, who: httpx.Client) -> str:
        """Return all that somebody can read of it, by every door and page."""
        places = ["/works", f"/works/{self.id}", f"/works/{self.id}/row", "/"]
        places += ["/v1/works", f"/v1/works/{self.id}", f"/v1/works/{self.id}/files/stdout.txt", "/v1/audit"]
        places += [f"/v1/works/{self.id}/files/stderr.txt", f"/v1/works/{self.id}/events", "/people/audit"]
        return "".join(who.get(place).text for place in places)

    def caller(self, role: Role) -> httpx.Client:
        """Return a program with a key of a role."""
        headers = {"authorization": f"Bearer {self.server.keys[role]}"}
        return httpx.Client(base_url=self.server.url, headers=headers, trust_env=False, timeout=60)


def logged_in(served: Served, name: str) -> httpx.Client:
    browser = httpx.Client(base_url=served.url, trust_env=False, timeout=60)
    answer = browser.post("/login", data={"name": name, "password": PASSWORD, "next": "/works"})
    assert answer.status_code == 303, answer.text
    return browser


@pytest.fixture(scope="module")
def invited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Invited]:
    folder = write(tmp_path_factory.mktemp("outer"), UNGATED + SYNC.format(port=0))
    with serving(folder, recipes=recipes, program=(sys.executable, "-m", "isthmus")) as served:
        config = read_console_config(folder / "isthmus.toml")
        with Access(config.people_file, SystemClock()) as access:
            hashed = Passwords().hash(PASSWORD)
            for name, role in (("ada", Role.ADMIN), ("bob", Role.ADMIN), ("ola", Role.OPERATOR)):
                access.people.add(name, role, hashed, Actor("test", "here"))
            access.people.add("vic", Role.VIEWER, hashed, Actor("test", "here"))
        with closing(logged_in(served, "ada")) as ada:
            csrf = {"x-csrf-token": ada.get("/v1/session").json()["csrf"], "prefer": "wait=60"}
            work = ada.post("/v1/operations/device-invite", json={"name": "gate-b12"}, headers=csrf).json()
            assert work["state"] == "done", work
            yield Invited(served, ada, work["id"], work["said"].splitlines()[0])


def test_who_invited_reads_the_token_by_the_page_and_by_the_api(invited: Invited) -> None:
    assert len(invited.token) > 20
    page = invited.ada.get(f"/works/{invited.id}").text
    assert invited.token in page
    assert "it is stored nowhere" in page
    printed = invited.ada.get(f"/v1/works/{invited.id}/files/stdout.txt")
    assert (printed.text.strip(), printed.headers["cache-control"]) == (invited.token, "no-store")


@pytest.mark.parametrize("name", ["bob", "ola", "vic"])
def test_no_other_person_reads_it_an_admin_neither(invited: Invited, name: str) -> None:
    with closing(logged_in(invited.server, name)) as other:
        read = invited.reads(other)
        assert "device invite" in read
        assert invited.token not in read
        assert other.get(f"/v1/works/{invited.id}/files/stdout.txt").status_code == 403


@pytest.mark.parametrize("role", list(Role))
def test_no_key_reads_it_whatever_its_role(invited: Invited, role: Role) -> None:
    with closing(invited.caller(role)) as program:
        assert invited.token not in invited.reads(program)


def test_watching_from_the_first_event_on_does_not_tell_it(invited: Invited) -> None:
    start = invited.server.runner.happenings.start
    with closing(invited.caller(Role.ADMIN)) as program:
        path, headers = f"/v1/works/{invited.id}/events", {"last-event-id": f"{start}-0"}
        told = program.get(path, headers=headers).text
    assert "event: ended" in told
    assert invited.token not in told


def test_it_stands_in_no_file_of_the_site_and_not_in_the_audit_log(invited: Invited) -> None:
    files = [file for file in Path(invited.server.folder).rglob("*") if file.is_file()]
    assert any(file.name == "people.sqlite" for file in files)
    holding = [file.name for file in files if invited.token.encode() in file.read_bytes()]
    assert holding == []
    with Access(read_console_config(invited.server.folder / "isthmus.toml").people_file, SystemClock()) as access:
        lines = repr(access.trail.latest(most=50))
    assert "device invite" in lines
    assert invited.token not in lines
