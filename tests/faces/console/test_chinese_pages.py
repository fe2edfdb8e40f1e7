"""All that a person reads on a Chinese page is Chinese, in a world full of alarms, failures and refusals.

What is not: names that somebody gave, ids, commands, units, formats; all of them are listed here. What a command
or another person wrote is quoted, marked as English, and said to be a quotation.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urldefrag, urlsplit

import pytest

from crossed_galleries import HOSTILE_ID, HOSTILE_TEXT
from hub_making import BEGUN, TOKEN, Made, made_hub
from isthmus.app.clock import SystemClock
from isthmus.app.people.person import Person, Role
from isthmus.core.progress import Progress
from isthmus.faces.cli.catalogue import recipes
from people_making import OWN, PASSWORD, served
from troubled_world import troubled_world
from visible_text import Reader, read

CHINESE = {"accept-language": "zh-CN"}
LISTED = """
the product:  Isthmus ICE SQL ADE RTO RPO BLAKE3 API TOML CSV JSON PNG JPEG WebP JavaScript SELECT OLAP UTC
              English HTTP S3 HMAC
units:        kB MB GB TB Hz ms rad
sites:        north south inner outer hub agent handheld public night got-north ask-north
records:      gone far ann bob large staff guard role place name catalogue
models:       see hear deaf phash
loop:         forecast nightly second slow cars turtles toy turtlesim scenes rejects rule source car departures
              halts batch parquet contains tags day density agents
others:       gate client going ended disaster root galleries models ada vera eve ci key nobody none nowhere no
commands:     up and or not request mine
"""
"""What may stand on a Chinese page: names that somebody gave, and what has no other name in Chinese."""
ALLOWED = {word for line in LISTED.splitlines() for word in line.rpartition(":")[2].split()}
ALLOWED |= {"the embedder", "The ego drives slowly.", "greatest mean speed", HOSTILE_ID, HOSTILE_TEXT, *recipes()}
ALLOWED |= {"Space", "Shift", "Home", "End", "F", "Esc"}
_LONGEST_FIRST = sorted(ALLOWED, key=len, reverse=True)
_COMMAND = re.compile(r"\bisthmus(?: [a-z-]+)*")
_HELD = re.compile(
    r"\bisthmus(?: [a-z-]+)*|\b[A-Z]{6}\b|'[^']*'|`[^`]*`|[\w./@*:=-]*(?:[_/*@]|\d|(?<=\w)\.(?=\w))[\w./@*:=-]*"
)
"""Ids, file names, dotted names, paths, versions: what has a digit, a slash, an underscore or a dot inside;
what is quoted as it was typed, and the proof of a request line: six capitals."""
_LATIN = re.compile(r"[A-Za-z][A-Za-z'’-]+(?: [A-Za-z][A-Za-z'’-]+)*")
_ASKED_WRONGLY = (
    "/works/none", "/galleries?site=nowhere", "/galleries/of/no?site=inner", "/acquire/failures?after=x",
    "/scenes?where=%3D%3D", "/scenes?where=speed_mean+%3E+10&order=no", "/galleries/devices/no?site=outer",
    "/acquire/batches/no?site=hub", "/runs/one/no", "/nothing-here", "/galleries/history?after=x",
)  # fmt: skip
_MOST_PAGES = 120


def english(reader: Reader) -> list[str]:
    """Return the texts of a page that hold a run of Latin words which is in no list."""
    found = []
    for text in reader.texts:
        left = _COMMAND.sub(" ", text)
        for one in _LONGEST_FIRST:
            left = re.sub(rf"(?<![A-Za-z-]){re.escape(one)}(?![A-Za-z-])", " ", left)
        if _LATIN.search(_HELD.sub(" ", left)):
            found.append(text)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return troubled_world(tmp_path_factory.mktemp("world"))


def console(world: tuple[Path, ...], role: Role = Role.ADMIN) -> Made:
    return made_hub(world[0].parent, role, world[0], world, SystemClock())


def _kind(path: str) -> tuple[object, ...]:
    parts = urlsplit(path)
    places = parts.path.split("/")
    asked = parse_qsl(parts.query)
    return (
        *places[:3],
        len(places),
        *sorted(key for key, _ in asked),
        *(text for key, text in asked if key == "site"),
    )


def test_every_page_that_a_link_leads_to_is_chinese(
    world: tuple[Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    browser = console(world).client(headers=CHINESE)
    left, kinds, wrong, count = ["/", *_ASKED_WRONGLY], set[object](), list[tuple[str, str]](), 0
    while left and count < _MOST_PAGES:
        path = left.pop(0)
        if _kind(path) in kinds and path not in _ASKED_WRONGLY:
            continue
        kinds.add(_kind(path))
        answer = browser.get(path)
        if "html" not in answer.headers.get("content-type", ""):
            continue
        count += 1
        assert answer.status_code < 500, path
        reader = read(answer.text)
        wrong += [(path, text) for text in english(reader)]
        left += [urldefrag(link).url for link in reader.links]
    with capsys.disabled():
        print(f"\n{count} pages of the console were read in Chinese")
    assert wrong == []
    assert count > 45


def test_what_is_quoted_is_said_to_be_a_quotation(world: tuple[Path, ...]) -> None:
    browser = console(world).client(headers=CHINESE)
    text = browser.get("/acquire/failures?site=hub").text
    assert '程序原文（英文）<q lang="en">the server says &lt;b&gt;404&lt;/b&gt;</q>' in text


def _works(made: Made) -> Any:
    ada = Person("ada", Role.ADMIN, "session")
    for number, (operation, state, values) in enumerate(
        (
            ("recovery drill", "failed", {"error": "the disk is full\nmake room", "said": "copied 3 of 5"}),
            ("device invite", "done", {"said": "token"}),
            ("ingest", "running", {"progress": Progress("reading", 3, 9, "files", "of cars")}),
            ("gate send", "lost", {"error": "the server was stopped while it ran; start it again"}),
            ("loop run", "cancelled", {}),
            ("gate receive", "waiting", {}),
        ),
        1,
    ):
        made.works.start(operation, {}, ada)
        ended = None if state in ("running", "waiting") else BEGUN
        made.works.become(f"w{number}", state=state, ended=ended, **values)
    return made


@pytest.mark.parametrize("role", list(Role))
def test_works_of_every_state_and_the_overview_with_them_are_chinese_for_each_role(
    tmp_path: Path, role: Role
) -> None:
    browser = _works(made_hub(tmp_path, role)).client(headers=CHINESE)
    for path in ("/works", "/works/w1", "/works/w2", "/works/w3/row", "/"):
        assert (path, english(read(browser.get(path).text))) == (path, [])
    if role is Role.ADMIN:
        assert "输出（命令原文）" in browser.get("/works/w1").text


def test_refused_buttons_are_answered_in_chinese(world: tuple[Path, ...]) -> None:
    viewer, admin = (console(world, role).client(headers=CHINESE) for role in (Role.VIEWER, Role.ADMIN))
    answers = [
        viewer.post("/act/gate-send", data={"csrf": TOKEN}),
        admin.post("/act/gate-send"),
        admin.post("/act/gate-epoch", data={"csrf": TOKEN, "confirms": "inner", "confirm": "no"}),
        admin.post("/act/none", data={"csrf": TOKEN}),
        admin.post("/acquire/ask", data={"csrf": TOKEN, "addresses": "", "environment": "public"}),
        admin.post("/acquire/ask", data={"csrf": TOKEN, "addresses": "http://a/b", "priority": "x"}),
        admin.post("/recovery/switchover", data={"csrf": TOKEN, "confirm": "no"}),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500 or answer.status_code == 200, answer.request.url
        assert english(read(answer.text)) == [], answer.request.url


def test_people_keys_the_audit_log_and_every_refusal_of_theirs_are_chinese(tmp_path: Path) -> None:
    site = served(tmp_path, {"ada": Role.ADMIN, "vera": Role.VIEWER})
    client = site.client()
    client.headers.update(CHINESE)
    pages = [client.get("/login"), client.post("/login", data={"name": "ada", "password": "wrong"}, headers=OWN)]
    assert site.log_in(client).status_code == 303

    def sent(place: str, **form: str) -> Any:
        return client.post(place, data={"csrf": site.csrf(client), **form}, headers=OWN)

    pages += [
        sent("/people/users/add", name="eve", role="viewer", password="short"),
        sent("/people/users/add", name="eve", role="viewer", password="a" * 30),
        sent("/people/users/add", name="no name", role="viewer", password=PASSWORD),
        sent("/people/users/add", name="vera", role="viewer", password=PASSWORD),
        sent("/people/users/add", name="eve", role="king", password=PASSWORD),
        sent("/people/users/role", name="ada", role="viewer"),
        sent("/people/users/remove", name="ada", confirm="ada"),
        sent("/people/users/remove", name="vera", confirm="no"),
        sent("/people/users/role", name="nobody", role="viewer"),
        sent("/people/keys/add", name="ci", role="viewer", days="x"),
        sent("/people/keys/add", name="ci", role="viewer", days="3"),
        sent("/people/keys/add", name="ci", role="viewer", days="3"),
        sent("/people/keys/revoke", name="none"),
        sent("/people/account", current="wrong", password=PASSWORD + " too"),
        sent("/people/account", current=PASSWORD, password="short"),
    ]
    places = ("/people", "/people?user=vera", "/people?done=added&name=vera", "/people/keys", "/people/account")
    pages += [client.get(place) for place in (*places, "/people/audit?verify=1", "/works")]
    for page in pages:
        assert (str(page.request.url), page.request.content[:80], english(read(page.text))) == (
            str(page.request.url), page.request.content[:80], [],
        )  # fmt: skip
