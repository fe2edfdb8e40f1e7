from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from hub_making import Made, flaws, made_hub
from isthmus.app.people.person import Role
from isthmus.core.errors import Busy, InputError, Refused, UnknownName
from isthmus.faces.console.acting import command_line
from isthmus.faces.console.frame import local
from isthmus.faces.console.words import chosen

PAGES = ("/", "/works", "/works/w1", "/recovery")


def with_work(folder: Path, role: Role | None = Role.ADMIN, **more: Any) -> Made:
    made = made_hub(folder, role, **more)
    if made.guard.person is not None:
        made.works.start("recovery verify", {"rows": True}, made.guard.person)
    return made


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_well_formed_in_each_language(tmp_path: Path, page: str, language: str) -> None:
    answer = with_work(tmp_path).client(cookies={"language": language}).get(page)
    assert answer.status_code == 200
    assert flaws(answer.text) == []
    assert f'lang="{"zh-CN" if language == "zh" else "en"}"' in answer.text


@pytest.mark.parametrize("page", PAGES)
def test_whoever_has_no_session_is_led_to_the_login_and_back(tmp_path: Path, page: str) -> None:
    client = with_work(tmp_path, None).client()
    answer = client.get(f"{page}?after=x")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=" + page.replace("/", "%2F") + "%3Fafter%3Dx"
    part = client.get(page, headers={"HX-Request": "true", "HX-Current-URL": "http://x/works?after=y"})
    assert part.text == ""
    assert part.headers["hx-redirect"] == "/login?next=%2Fworks%3Fafter%3Dy"
    for wrong in ("http://x//evil.example", "http://[", ""):
        elsewhere = client.get(page, headers={"HX-Request": "true", "HX-Current-URL": wrong})
        assert elsewhere.headers["hx-redirect"] == "/login?next=%2F"


def test_a_call_by_htmx_gets_the_content_alone(tmp_path: Path) -> None:
    client = with_work(tmp_path).client()
    whole, part = client.get("/works"), client.get("/works", headers={"HX-Request": "true", "HX-Target": "div#x"})
    assert part.text.strip() in whole.text
    assert "<html" not in part.text
    assert 'id="work-w1"' in part.text
    body = client.get("/works", headers={"HX-Request": "true", "HX-Target": "body"})
    assert "<html" in body.text


@pytest.mark.parametrize(
    ("error", "status"),
    [(UnknownName("no such", "look"), 404), (Refused("not so", "x"), 403), (Busy("held"), 409),
     (InputError("wrong", "mend it"), 422)],
)  # fmt: skip
def test_what_goes_wrong_is_said_on_a_page(tmp_path: Path, error: Exception, status: int) -> None:
    made = made_hub(tmp_path)

    async def fails(_: Request) -> Response:
        raise error

    made.app.router.routes.append(made.frame.at("/fails", fails))
    answer = made.client().get("/fails")
    assert answer.status_code == status
    assert str(error.args[0]) in answer.text
    assert flaws(answer.text) == []


def test_a_page_is_kept_from_a_role_that_is_too_low_before_anything_is_read(tmp_path: Path) -> None:
    made, read = made_hub(tmp_path, Role.VIEWER), []

    async def reads(request: Request) -> Response:
        read.append(request)
        return Response()

    made.app.router.routes.append(made.frame.at("/kept", reads, role=Role.ADMIN))
    answer = made.client().get("/kept")
    assert (answer.status_code, read) == (403, [])


def test_language_and_theme_are_kept_by_the_browser(tmp_path: Path) -> None:
    client = made_hub(tmp_path).client()
    answer = client.post("/look", data={"language": "zh", "theme": "dark", "next": "/works?after=x"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/works?after=x")
    page = client.get("/works").text
    assert 'data-theme="dark"' in page
    assert "任务" in page
    client.post("/look", data={"theme": "loud", "next": "/"})
    assert 'data-theme="dark"' in client.get("/works").text


@pytest.mark.parametrize(
    "place",
    ["https://evil.example", "//evil.example/x", "/\\evil.example", "evil", "", "http://[", "/a\nb", "/\tx"],
)
def test_nobody_is_led_elsewhere(place: str) -> None:
    assert local(place) == "/"


@pytest.mark.parametrize(
    ("cookie", "accepts", "found"),
    [("", "", "en"), ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("", "de,en;q=0.5,zh;q=0.4", "en"),
     ("", "zh;q=x", "zh"), ("zh", "en", "zh"), ("en", "zh", "en"), ("??", "fr", "en")],
)  # fmt: skip
def test_the_language_is_the_chosen_one_or_what_the_browser_asks_for(
    cookie: str, accepts: str, found: str
) -> None:
    assert chosen(cookie, accepts) == found


def test_what_a_page_loads_is_kept_for_good_and_changes_its_place_with_its_content(tmp_path: Path) -> None:
    made = made_hub(tmp_path)
    answer = made.client().get(f"{made.frame.static}/console.css")
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert made.client().get("/static/other/console.css").status_code == 404


def acting(made: Made, template: str) -> str:
    """Render a template of one line as a page's content."""

    async def shows(request: Request) -> Response:
        person = await made.frame.need(request)
        known = made.frame._known(request, person)
        return Response(made.frame._templates.from_string(template).render(known))

    made.app.router.routes.append(made.frame.at("/shows", shows))
    return made.client().get("/shows").text


def test_a_button_shows_the_command_that_does_the_same(tmp_path: Path) -> None:
    html = acting(made_hub(tmp_path), '{{ act("recovery verify", {"rows": true}, "Verify") }}')
    assert flaws(html) == []
    assert 'action="/act/recovery-verify"' in html
    assert '<input type="hidden" name="rows" value="true">' in html
    assert f"isthmus --site {tmp_path / 'isthmus.toml'} recovery verify --rows" in html
    assert "disabled" not in html


def test_a_button_that_one_may_not_press_says_why(tmp_path: Path) -> None:
    html = acting(made_hub(tmp_path, Role.VIEWER), '{{ act("recovery backup", {}, "Back up") }}')
    assert "<button disabled>" in html
    assert "operator" in html
    html = acting(made_hub(tmp_path), '{{ act("no such command", {}, "Do") }}')
    assert "<button disabled>" in html


def test_a_grave_button_wants_a_word_typed(tmp_path: Path) -> None:
    html = acting(made_hub(tmp_path), '{{ act("recovery failover", {}, "Go", confirm="north", danger=true) }}')
    assert 'pattern="north"' in html
    assert 'name="confirms" value="north"' in html


def test_what_is_typed_stands_in_capitals_in_the_command(tmp_path: Path) -> None:
    known = made_hub(tmp_path).works.known
    resend = known["recovery resend"]
    line = command_line("a site.toml", "recovery resend", resend, {}, resend.parameters)
    assert line == "isthmus --site 'a site.toml' recovery resend LINE"
    backup = known["recovery backup"]
    full = [one for one in backup.parameters if one.name == "full"]
    assert command_line("s", "recovery backup", backup, {}, full) == "isthmus --site s recovery backup [--full]"
    assert command_line("s", "recovery backup", backup, {"full": False}) == "isthmus --site s recovery backup"
    line = command_line("s", "recovery resend", resend, {"line": "-x"})
    assert line == "isthmus --site s recovery resend -- -x"
