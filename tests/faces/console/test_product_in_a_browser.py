"""The console as it is used: every page of a world of sites, in Debian's Chromium, against the real server.

`ISTHMUS_PICTURES=FOLDER` keeps a picture of each page there; `make pictures` puts them into the book.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urldefrag, urlsplit

import pytest

pytest.importorskip("playwright", reason="the console is tested by playwright: pip install playwright")

from playwright.sync_api import Page, expect

from product_world import PASSWORD, Console, served_world

PAGES = ("overview", "acquire", "scenes", "runs", "galleries", "recovery", "works", "people")
KEEP = os.environ.get("ISTHMUS_PICTURES", "")
WIDE = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "reduced_motion": "reduce"}
TABLET = WIDE | {"viewport": {"width": 768, "height": 1024}}
_MOST_PAGES = 150
_MISTYPED = """async () => {
    const csrf = document.querySelector("[name=csrf]").value;
    const body = new URLSearchParams({csrf, confirm: "something else"});
    return (await fetch(location.pathname, {method: "POST", redirect: "manual", body})).status;
}"""


@dataclass
class Visit:
    """A page of the browser, and what went wrong in it."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.base + path)

    def enter(self, name: str = "anna", path: str = "/") -> None:
        self.page.goto(f"{self.base}/login?next={path}")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page).to_have_url(self.base + path)

    def keep(self, name: str) -> None:
        """Keep a picture of the page, where pictures are asked for."""
        if KEEP:
            self.page.wait_for_load_state("networkidle")
            self.page.screenshot(path=Path(KEEP) / f"console-{name}.png", animations="disabled")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with served_world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def visit(request: pytest.FixtureRequest, console: Console, browser: Any) -> Iterator[Visit]:  # in this order
    context = browser.new_context(**getattr(request, "param", WIDE))
    context.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    made = Visit(context.new_page(), console.url)
    made.page.on("pageerror", lambda error: made.wrong.append(str(error)))
    made.page.on("console", lambda said: _said(made, said))
    made.page.on("response", lambda answer: _answered(made, answer))
    made.page.on("request", lambda asked: _outside(made, asked.url))
    yield made
    context.close()
    assert made.wrong == []


def _said(visit: Visit, said: Any) -> None:
    if said.type == "error" and "the server responded with" not in said.text:  # those are told with their address
        visit.wrong.append(said.text)


def _answered(visit: Visit, answer: Any) -> None:
    if answer.status >= 400:
        visit.wrong.append(f"{answer.status} {answer.url} on {visit.page.url}")


def _outside(visit: Visit, url: str) -> None:
    if urlsplit(url).scheme in ("http", "https", "ws") and not url.startswith(visit.base + "/"):
        visit.wrong.append(f"something was asked for elsewhere: {url}")


def findings(page: Page) -> list[tuple[str, list[str]]]:
    """Return what axe finds serious or critical, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in bad]


def fits(page: Page) -> bool:
    """Say whether nothing is cut off at the right."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    return bool(page.evaluate("document.documentElement.scrollWidth") <= width)


def _kind(path: str) -> tuple[object, ...]:
    """What pages have in common that differ by the name of what they show, or by what they ask for."""
    parts = urlsplit(path)
    places = parts.path.split("/")
    return (*places[:3], len(places), *sorted(key for key, _ in parse_qsl(parts.query)))


def _numberless(path: str) -> tuple[object, ...]:
    """What pages have in common that differ by a number alone."""
    return (re.sub(r"[0-9]+", "0", path),)


@pytest.mark.parametrize(
    "kind", [pytest.param(_kind, id="one of a kind"), pytest.param(_numberless, id="all", marks=pytest.mark.soak)]
)
def test_every_page_that_a_link_leads_to_is_there_asks_for_nothing_elsewhere_and_axe_finds_nothing_serious(
    visit: Visit, kind: Callable[[str], tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    visit.enter()
    left, seen, kinds = ["/"], set[str](), {kind("/")}
    while left and len(seen) < _MOST_PAGES:
        path = left.pop(0)
        if path in seen:
            continue
        seen.add(path)
        visit.go(path)
        assert (path, findings(visit.page)) == (path, [])
        assert fits(visit.page), path
        if path.removeprefix("/") in ("", *PAGES):
            visit.keep(path.removeprefix("/") or "overview")
        hrefs = visit.page.eval_on_selector_all("a[href]:not([download])", "all => all.map(one => one.href)")
        own = [urldefrag(href).url.removeprefix(visit.base) for href in hrefs if href.startswith(visit.base + "/")]
        for one in own:
            if "/files/" not in one and kind(one) not in kinds:
                kinds.add(kind(one))
                left.append(one)
    with capsys.disabled():
        print(f"\n{len(seen)} pages of the console were opened by their links")
    assert {f"/{name}" for name in PAGES[1:]} <= seen
    assert len(seen) > 30


@pytest.mark.parametrize(
    "visit", [pytest.param(TABLET | {"color_scheme": "dark"}, id="tablet and dark")], indirect=True
)
def test_on_a_tablet_in_the_dark_axe_finds_nothing_serious_either_and_nothing_is_cut_off(visit: Visit) -> None:
    visit.enter()
    for name in PAGES:
        visit.go("/" if name == "overview" else f"/{name}")
        expect(visit.page.locator("main h1").first).to_be_visible()
        assert (name, findings(visit.page)) == (name, [])
        assert fits(visit.page), name
        visit.keep(f"{name}-dark")


def test_a_round_is_taken_by_a_button_that_shows_its_command_and_is_followed_to_its_end(visit: Visit) -> None:
    page = visit.page
    visit.enter(path="/recovery")
    form = page.locator("form", has=page.get_by_role("button", name="Take a round now")).first
    form.locator("summary", has_text="Command").click()
    expect(form.locator("code")).to_contain_text("recovery backup")
    form.get_by_role("button", name="Take a round now").click()
    expect(page.locator("[data-state=done], .badge", has_text="done").first).to_be_visible()
    visit.go("/works")
    expect(page.locator("main")).to_contain_text("recovery backup")
    assert findings(page) == []


def test_a_switchover_is_begun_only_by_the_word_that_it_asks_for(visit: Visit) -> None:
    page = visit.page
    visit.enter(path="/recovery")
    page.get_by_role("link", name="Switchover").click()
    expect(page.locator("main h1")).to_have_text("Switchover")
    assert page.locator("ul.looks li").count() >= 3
    assert findings(page) == []
    visit.keep("switchover")
    field = page.get_by_label(re.compile("Type"))
    field.fill("something else")
    page.locator("main button.danger").click()
    assert field.evaluate("field => !field.validity.valid"), "the browser holds it back"
    answer = page.evaluate(_MISTYPED)
    assert answer in (200, 422), "and the server does"
    visit.wrong.clear()
    visit.go("/recovery")
    expect(page.locator("main")).to_contain_text("primary")


def test_a_scene_is_drawn_and_played_by_keys(visit: Visit) -> None:
    page = visit.page
    visit.enter(path="/scenes")
    page.locator("main table a").first.click()
    expect(page.locator("svg.road .agent").first).to_be_attached()
    scrub = page.locator("input[type=range]").first
    before = scrub.input_value()
    scrub.focus()
    page.keyboard.press("ArrowRight")
    expect(scrub).not_to_have_value(before)
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").click()
    assert findings(page) == []
    visit.keep("scene")


def test_sql_is_asked_and_remembered(visit: Visit) -> None:
    page = visit.page
    visit.enter(path="/scenes/sql")
    page.locator("textarea").first.fill("SELECT source, count(*) AS scenes FROM scenes GROUP BY ALL")
    page.locator("main form button").first.click()
    expect(page.locator("main table").first).to_contain_text("cars")
    visit.go("/scenes/sql")
    expect(page.locator("main")).to_contain_text("count(*) AS scenes")
    visit.keep("sql")


def test_the_console_speaks_chinese_and_remembers_its_theme(visit: Visit) -> None:
    page = visit.page
    visit.enter()
    page.get_by_label("Language and theme").click()
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", re.compile("zh"))
    for name in PAGES:
        visit.go("/" if name == "overview" else f"/{name}")
        expect(page.locator("main h1").first).to_have_text(re.compile(r"[\u4e00-\u9fff]"))
    visit.go("/")
    visit.keep("overview-zh")
    page.locator("details.look summary").click()
    page.locator("button[name=theme][value=dark]").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    visit.go("/runs")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_keys_lead_through_the_pages_and_are_explained(visit: Visit) -> None:
    page = visit.page
    visit.enter()
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    page.locator("body").press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    key = page.locator(".tabs a[href='/recovery']").get_attribute("data-key")
    assert key
    page.keyboard.press("g")
    page.keyboard.press(key)
    expect(page).to_have_url(visit.base + "/recovery")


def test_who_only_views_is_shown_everything_and_can_press_nothing(visit: Visit) -> None:
    page = visit.page
    visit.enter("vera", path="/recovery")
    buttons = page.locator("form.act button, form.act input[type=submit]")
    assert buttons.count() > 0
    assert all(buttons.nth(number).is_disabled() for number in range(buttons.count()))
    visit.go("/people")
    expect(page.locator("main")).not_to_contain_text("anna")
