"""The buttons of the pages against the real server: a session's token, a typed word, files, and who may."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest

from hub_serving import Served, serving
from isthmus.app.clock import SystemClock
from isthmus.app.console import read_console_config
from isthmus.app.people.access import Access
from isthmus.app.people.passwords import Passwords
from isthmus.app.people.person import Role
from isthmus.app.people.trail import Actor
from isthmus.app.works.waiting import wait_for

PASSWORD = "correct horse battery staple"
Post = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as served:
        config = read_console_config(served.folder / "isthmus.toml")
        with Access(config.people_file, SystemClock()) as access:
            hashed = Passwords().hash(PASSWORD)
            for name, role in (("ada", Role.ADMIN), ("ola", Role.OPERATOR), ("vic", Role.VIEWER)):
                access.people.add(name, role, hashed, Actor("test", "here"))
        yield served


def logged_in(served: Served, name: str) -> tuple[httpx.Client, str]:
    """Log in as a browser does; returns the session and the token of its pages."""
    browser = httpx.Client(base_url=served.url, trust_env=False, timeout=60)
    answer = browser.post("/login", data={"name": name, "password": PASSWORD, "next": "/works"})
    assert answer.status_code == 303, answer.text
    token = re.search(r'name="csrf" value="([0-9a-f]{64})"', browser.get("/works").text)
    assert token
    return browser, token[1]


@pytest.fixture
def ada(served: Served) -> Iterator[Post]:
    browser, token = logged_in(served, "ada")

    def post(path: str, data: dict[str, object] | None = None, **more: object) -> httpx.Response:
        return browser.post(path, data={"csrf": token} | (data or {}), **more)  # type: ignore[arg-type]

    with closing(browser):
        yield post


def test_a_button_begins_an_operation_and_leads_to_its_work(ada: Post, served: Served) -> None:
    answer = ada("/act/go")
    assert answer.status_code == 303
    id = answer.headers["location"].removeprefix("/works/")
    work = wait_for(served.runner, id, 60)
    assert (work.state, work.by, work.operation) == ("done", "ada", "go")


def test_with_scripts_the_row_of_the_work_is_answered(ada: Post) -> None:
    answer = ada("/act/go", headers={"hx-request": "true"})
    assert answer.status_code == 200
    id = answer.headers["location"].removeprefix("/works/")
    assert f'id="work-{id}"' in answer.text
    assert "<html" not in answer.text


def test_files_and_arguments_of_the_form_go_along(ada: Post, served: Served) -> None:
    data = {"name": "a", "count": "3", "quick": "true", "set": ["x=1", "y=2"], "where": "", "confirm": ""}
    answer = ada("/act/tell", data, files={"photo": ("a.jpg", b"one")})
    work = served.runner.get(answer.headers["location"].removeprefix("/works/"))
    assert work.arguments == {"name": "a", "count": 3, "quick": True, "set": ["x=1", "y=2"], "photo": "a.jpg"}


def test_without_the_sessions_token_nothing_is_begun(served: Served) -> None:
    browser, token = logged_in(served, "ada")
    before = [one.id for one in served.runner.latest()]
    with closing(browser):
        assert browser.post("/act/go").status_code == 403
        assert browser.post("/act/go", data={"csrf": token[::-1]}).status_code == 403
        assert browser.post("/v1/operations/go").status_code == 403
        assert (
            browser.post("/act/go", data={"csrf": token}, headers={"origin": "http://evil.example"}).status_code
            == 403
        )
        assert browser.post("/v1/operations/go", headers={"x-csrf-token": token}).status_code == 202
    assert [one.id for one in served.runner.latest()][1:] == before


@pytest.mark.parametrize(
    ("typed", "begun"),
    [
        ({}, False),
        ({"confirm": "north"}, False),
        ({"confirms": "north"}, False),
        ({"confirms": "north", "confirm": "South"}, False),
        ({"confirms": "", "confirm": ""}, False),
        ({"confirms": "north", "confirm": " north "}, True),
    ],
)
def test_a_grave_operation_is_begun_only_by_its_word(ada: Post, typed: dict[str, object], begun: bool) -> None:
    assert ada("/act/secret-go", typed).status_code == (303 if begun else 422)


def test_a_word_is_asked_for_where_the_form_asked(ada: Post) -> None:
    assert ada("/act/go", {"confirms": "north", "confirm": "nort"}).status_code == 422
    assert ada("/act/go", {"confirms": "north", "confirm": "north"}).status_code == 303


def test_roles_are_asked_for_by_buttons_too(served: Served) -> None:
    for name, operation, status in (
        ("vic", "go", 403),
        ("vic", "tell", 422),
        ("ola", "secret-go", 403),
        ("ola", "go", 303),
        ("ola", "nothing", 404),
    ):
        browser, token = logged_in(served, name)
        with closing(browser):
            assert browser.post(f"/act/{operation}", data={"csrf": token}).status_code == status, (name, operation)


def test_whoever_is_not_logged_in_is_led_to_the_login(served: Served) -> None:
    answer = httpx.post(f"{served.url}/act/go", trust_env=False)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")


def test_another_sees_that_it_ran_but_not_what_it_said(ada: Post, served: Served) -> None:
    answer = ada("/act/secret-go", {"confirms": "x", "confirm": "x"})
    place = answer.headers["location"]
    assert wait_for(served.runner, place.removeprefix("/works/"), 60).said == "went"
    browser, _ = logged_in(served, "vic")
    with closing(browser):
        page = browser.get(place)
        assert page.status_code == 200
        assert "secret go" in page.text
        assert "went" not in page.text
