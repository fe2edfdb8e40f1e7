"""The pages of acquiring: batches, failures, environments, what is asked for, and what the scripts are given."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from asked_images import NOW, asked
from crossed_galleries import HOSTILE_TEXT
from hub_making import TOKEN, Made, flaws, made_hub
from isthmus.acquire.server import intake
from isthmus.app.people.person import Role
from isthmus.app.views import acquire
from isthmus.core.errors import InputError
from isthmus.faces.console.pages.acquire import pictures
from isthmus.faces.console.typed import table_of
from isthmus.faces.console.words import FOLDER

ASSETS = FOLDER.parent / "assets"
PLACES = ("", "/failures", "/environments", "/images")


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asked(tmp_path_factory.mktemp("hub"))


def made(toml: Path, *others: Path, role: Role | None = Role.ADMIN) -> Made:
    hub = made_hub(toml.parent, role, toml, others)
    hub.clock.moment = NOW
    return hub


def page(browser: TestClient, path: str, status: int = 200, **headers: str) -> str:
    answer = browser.get(path, headers=headers)
    assert answer.status_code == status, answer.text
    assert flaws(answer.text) == []
    assert len(answer.content) < 120_000
    return answer.text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_well_formed_in_both_languages_and_for_each_role(toml: Path, language: str) -> None:
    names = [one.batch for one in acquire.batches(toml, NOW)]
    for role in Role:
        browser = made(toml, role=role).client()
        for place in (*PLACES, *(f"/batches/{name}" for name in names)):
            text = page(browser, f"/acquire{place}", **{"accept-language": language})
            assert ("采集" in text) is (language == "zh")


def test_batches_tell_how_far_and_how_fast_they_are_and_hostile_labels_are_texts(toml: Path) -> None:
    text = page(made(toml).client(), "/acquire")
    assert "<script>alert" not in text
    assert HOSTILE_TEXT in unescape(text)
    assert "0.1/s" in text
    assert "30 s left" in text
    assert text.count('<svg class="states"') == 2
    assert re.findall(r'class="s-(\w+)" x="([\d.]+)" y="0" width="([\d.]+)"', text)[:3] == [
        ("done", "0.00", "250.00"),
        ("queued", "250.00", "500.00"),
        ("waiting", "750.00", "250.00"),
    ]


def test_a_batch_offers_its_steps_with_their_commands(toml: Path) -> None:
    name = acquire.batches(toml, NOW)[1].batch
    hub = made(toml)
    browser = hub.client()
    text = page(browser, f"/acquire/batches/{name}")
    for step in ("retry", "pause", "resume", "cancel"):
        assert f"acquire {step} {name}" in text
    assert "&lt;b&gt;404&lt;/b&gt;" in text, "a reason is a text"
    assert browser.post("/act/acquire-retry", data={"csrf": TOKEN, "batch": name}).status_code in (200, 303)
    assert [(one.operation, one.arguments) for one in hub.works.begun] == [("acquire retry", {"batch": name})]


def test_failures_are_filtered_by_kind_and_environment(toml: Path) -> None:
    browser = made(toml).client()
    assert "store.example/gone.jpg" in page(browser, "/acquire/failures?kind=gone&environment=public")
    assert "Nothing failed." in page(browser, "/acquire/failures?kind=tls")
    assert "Nothing failed." in page(browser, "/acquire/failures?environment=night")


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("/acquire/batches/none", 404),
        ("/acquire?after=none", 404),
        ("/acquire/failures?after=x", 422),
        ("/acquire/failures?after=99999999999999999999", 422),
        ("/acquire?site=elsewhere", 404),
    ],
)
def test_what_is_not_there_is_said_on_a_page(toml: Path, place: str, status: int) -> None:
    assert page(made(toml).client(), place, status)


def test_typed_addresses_are_sent_as_a_list_by_the_operation(toml: Path) -> None:
    hub = made(toml, role=Role.OPERATOR)
    given = {
        "csrf": TOKEN,
        "addresses": "http://a/1.jpg\nkept http://a/2.jpg\n\nhttp://b/1.jpg?x=1\n",
        "environment": "video",
        "tags": "road, night",
        "priority": "7",
        "label": "typed",
    }
    answer = hub.client().post("/acquire/ask", data=given)
    assert (answer.status_code, answer.headers["location"]) == (303, "/works/w1")
    (work,) = hub.works.begun
    assert (work.operation, work.arguments) == ("acquire send", {"file": "typed.csv", "label": "typed"})
    content = hub.works.given[0]["typed.csv"]
    taken = intake.read(content, intake.Form.CSV)
    assert [(one.record, one.address, one.tags, one.priority) for one in taken.wishes] == [
        ("1", "http://a/1.jpg", ("road", "night"), 7),
        ("kept", "http://a/2.jpg", ("road", "night"), 7),
        ("1-2", "http://b/1.jpg?x=1", ("road", "night"), 7),
    ]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"addresses": " \n"}, 422),
        ({"environment": "Video!"}, 422),
        ({"priority": "77"}, 422),
        ({"tags": "a|b"}, 422),
        ({"csrf": "other"}, 403),
    ],
)
def test_what_cannot_be_asked_for_is_said_and_nothing_begins(
    toml: Path, more: dict[str, str], status: int
) -> None:
    hub = made(toml)
    given = {"csrf": TOKEN, "addresses": "http://a/1.jpg", "environment": "video"} | more
    answer = hub.client().post("/acquire/ask", data=given)
    assert answer.status_code == status
    assert flaws(answer.text) == []
    assert hub.works.begun == []


def test_a_viewer_may_not_ask(toml: Path) -> None:
    hub = made(toml, role=Role.VIEWER)
    assert 'action="/acquire/ask"' not in page(hub.client(), "/acquire")
    given = {"csrf": TOKEN, "addresses": "http://a/1.jpg", "environment": "video"}
    assert hub.client().post("/acquire/ask", data=given).status_code == 403
    assert hub.works.begun == []


def test_who_is_not_logged_in_is_led_to_the_login(toml: Path) -> None:
    browser = made(toml, role=None).client()
    for place in PLACES:
        assert browser.get(f"/acquire{place}").headers["location"].startswith("/login?next=")


def test_another_site_is_shown_and_not_changed(toml: Path, tmp_path: Path) -> None:
    other = tmp_path / "isthmus.toml"
    other.write_text('[site]\nname = "console"\n')
    browser = made(other, toml).client()
    assert "store.example" in page(browser, "/acquire/failures")
    assert '<form class="act"' not in page(browser, "/acquire?site=hub")
    assert 'data-site="hub"' in page(browser, "/acquire/images")


def test_a_site_that_does_not_acquire_says_so(tmp_path: Path) -> None:
    assert "No site here acquires images" in page(made_hub(tmp_path).client(), "/acquire")


def test_the_scripts_come_from_here_and_talk_to_the_consoles_doors(toml: Path) -> None:
    browser = made(toml).client()
    text = page(browser, "/acquire/images", **{"accept-language": "zh"})
    words = json.loads(unescape(text.partition('data-words="')[2].partition('"')[0]))
    assert words["Pause"] == "暂停"
    api = browser.get("/assets/api.js")
    assert "/v1/images" in api.text
    assert "EventSource" not in api.text
    for name in ("wall", "map", "filters", "grid", "picture", "words", "dom", "world"):
        script = browser.get(f"/assets/{name}.js")
        assert script.status_code == 200
        assert "javascript" in script.headers["content-type"]
        imported = re.findall(r'^import \{([^}]*)\} from "/assets/api\.js"', script.text, re.MULTILINE)
        for named in ",".join(imported).split(","):
            assert not named.strip() or re.search(rf"export .*\b{named.strip()}\b", api.text), (name, named)
    assert browser.get("/assets/world.json").status_code == 200
    for outside in ("../templates/base.html", "..%2ftemplates%2fbase.html", "%2e%2e/frame.py"):
        assert browser.get(f"/assets/{outside}").status_code == 404


def test_every_text_of_wall_and_map_has_its_translation() -> None:
    known = pictures("zh")
    for name in ("wall", "map", "filters", "picture", "notices", "words"):
        source = (ASSETS / f"{name}.js").read_text("utf-8")
        for text in re.findall(r'\btr\(\s*"([^"]+)"', source):
            assert text in known, f"{name}.js says {text!r}"
        for thing in re.findall(r'\bmany\([^"]*"([a-z ]+)"\)', source):
            assert {f"{{}} {thing}", f"{{}} {thing}s"} <= known.keys()
    assert all(text.count("{}") == said.count("{}") for text, said in known.items())
    assert pictures("en") == {text: text for text in known}


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1), max_size=20))
def test_every_line_that_is_taken_becomes_one_row_with_a_record_of_its_own(names: list[str]) -> None:
    lines = [f"http://store.example/{name}" for name in names]
    try:
        content = table_of("\n".join(lines), "video")
    except InputError:
        return
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["address"] for row in rows] == lines
    assert len({row["record"] for row in rows}) == len(rows)
