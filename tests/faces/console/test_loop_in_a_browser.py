"""The pages of scenes and runs in Debian's Chromium: live filters and counts, playback by keys, SQL, axe."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

pytest.importorskip("playwright", reason="the page is tested by playwright: pip install playwright")

from playwright.sync_api import Page, expect

from hub_making import made_hub
from isthmus.app.people.person import Role
from isthmus.faces.console.pages import routes
from isthmus.faces.http.hub.application import application
from loop_site import CARS, Runs, made_runs, ready_site

FIRST = "cars.20261120.drive-008.0.0"
PATIENCE_MS = 20_000


@dataclass(frozen=True)
class Serving:
    """A server of the pages, and the runs of its site."""

    base: str
    runs: Runs


@dataclass
class Seen:
    """One open page, and what it did that it should not."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    toml = ready_site(tmp_path_factory.mktemp("loop"))
    runs = made_runs(toml)
    made = made_hub(toml.parent, Role.OPERATOR, toml)
    built = application(made.hub, routes(made.hub, made.frame))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(built, log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield Serving(f"http://127.0.0.1:{listening.getsockname()[1]}", runs)
        finally:
            server.should_exit = server.force_exit = True
            thread.join(30)


@pytest.fixture
def look(browser: Any, serving: Serving) -> Iterator[Callable[..., Seen]]:
    """Return what opens a page; whatever its console shows or asks of others fails the test."""
    opened: list[Seen] = []

    def open_one(**more: Any) -> Seen:
        usual: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}
        context = browser.new_context(**(usual | more))
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        seen = Seen(context.new_page(), serving.base)
        seen.page.on(
            "console", lambda told: seen.wrong.append(told.text) if told.type in ("error", "warning") else None
        )
        seen.page.on("pageerror", lambda error: seen.wrong.append(str(error)))
        seen.page.on(
            "request",
            lambda asked: None if asked.url.startswith((serving.base, "data:")) else seen.wrong.append(asked.url),
        )
        opened.append(seen)
        return seen

    try:
        yield open_one
    finally:
        for seen in opened:
            with contextlib.suppress(Exception):  # a page that is gone already
                seen.page.context.close()
    assert [seen.wrong for seen in opened] == [[] for _ in opened]


def test_the_list_follows_what_is_typed_and_the_address_keeps_it(look: Callable[..., Seen]) -> None:
    page = look().go("/scenes")
    page.keyboard.press("/")
    expect(page.get_by_label("Id begins with")).to_be_focused()
    page.keyboard.type("cars.")
    expect(page.locator("#found .count")).to_contain_text(f"{CARS} of")
    page.get_by_label("Rule or combination").fill("slow")
    page.get_by_label("Condition").fill("agents > 2")
    expect(page.locator("#found .count")).not_to_contain_text(f"{CARS} of")
    page.wait_for_url("**rule=slow*where=agents*")
    few = page.locator("#found .count").inner_text()
    page.reload()
    expect(page.locator("#found .count")).to_have_text(few)
    page.locator("#found .save .command summary").click()
    expect(page.locator("#found .save .command code")).to_contain_text("mine")
    page.get_by_label("Condition").fill("agent > 2")
    expect(page.locator("#found [role=alert]")).to_contain_text("did you mean 'agents'")


def test_a_scene_plays_by_keys_alone(look: Callable[..., Seen]) -> None:
    page = look().go(f"/scenes/one/{FIRST}")
    expect(page.locator("[data-player][data-ready]")).to_be_visible()
    clock, ego = page.locator(".clock"), page.locator('[data-role="ego"]').first
    page.keyboard.press("Home")
    expect(clock).to_have_text("0.0 s")
    start = ego.get_attribute("transform")
    page.keyboard.press("ArrowRight")
    expect(clock).to_have_text("0.1 s")
    page.keyboard.press("Shift+ArrowRight")
    expect(clock).to_have_text("1.1 s")
    assert ego.get_attribute("transform") != start
    page.keyboard.press("Home")
    for _ in range(2):
        page.keyboard.press("]")
    expect(page.locator("[data-rate]")).to_have_value("4")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(clock).to_have_text("8.9 s")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    view = page.locator("svg.road").get_attribute("viewBox")
    page.keyboard.press("+")
    assert page.locator("svg.road").get_attribute("viewBox") != view
    page.keyboard.press("f")
    expect(page.get_by_role("button", name="Follow the ego")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("slider", name="Moment").focus()
    page.keyboard.press("ArrowLeft")
    expect(clock).to_have_text("8.8 s")


def test_what_is_drawn_by_the_server_is_what_the_script_draws(look: Callable[..., Seen]) -> None:
    still = look(java_script_enabled=False).go(f"/scenes/one/{FIRST}?step=7")
    alive = look().go(f"/scenes/one/{FIRST}?step=7")
    expect(alive.locator("[data-player][data-ready]")).to_be_visible()
    for name, selector in (("transform", ".agent"), ("viewBox", "svg.road"), ("points", ".way.before")):
        for at in range(still.locator(selector).count()):
            drawn = still.locator(selector).nth(at).get_attribute(name)
            played = alive.locator(selector).nth(at).get_attribute(name)
            numbers = [[float(n) for n in _numbers(text or "")] for text in (drawn, played)]
            assert numbers[0] == pytest.approx(numbers[1], abs=0.02), (selector, at)


def _numbers(text: str) -> list[str]:
    for sign in "(),":
        text = text.replace(sign, " ")
    return [word for word in text.split() if word not in ("translate", "rotate")]


def test_rules_are_counted_while_a_parameter_is_typed(look: Callable[..., Seen]) -> None:
    page = look().go("/scenes/rules")
    page.locator("#rule-slow").get_by_label("speed (m/s)").fill("0")
    expect(page.locator("#count-slow b")).to_have_text("0")
    page.locator("#rule-slow").get_by_label("speed (m/s)").fill("1000")
    expect(page.locator("#count-slow")).to_contain_text("100.0 %")
    page.get_by_label("Rule or combination").fill("slow and nosuch")
    expect(page.locator("#count-combined")).to_contain_text("unknown rule or field 'nosuch'")


def test_sql_is_run_by_a_key_and_remembered(look: Callable[..., Seen]) -> None:
    page = look().go("/scenes/sql")
    page.get_by_role("button", name="DESCRIBE scenes").click()
    expect(page.locator("textarea")).to_have_value("DESCRIBE scenes")
    page.locator("textarea").fill("SELECT count(*) AS cars FROM scenes WHERE source = 'cars'")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answer td").first).to_have_text(str(CARS))
    expect(page.locator(".past li").first).to_contain_text("SELECT count(*) AS cars")
    page.locator("textarea").fill("DROP TABLE scenes")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#answer [role=alert]")).to_contain_text("no plain read")


@pytest.mark.soak  # the suite looks at each page once: test_product_in_a_browser
@pytest.mark.parametrize(("width", "theme", "language"), [(1280, "light", "en-GB"), (768, "dark", "zh-CN")])
def test_axe_finds_nothing_serious_and_nothing_overflows(
    look: Callable[..., Seen], serving: Serving, width: int, theme: str, language: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    seen = look(
        viewport={"width": width, "height": 900}, color_scheme=theme, locale=language, reduced_motion="reduce"
    )
    for path in (
        "/scenes?rule=slow&speed_mean.min=1",
        "/scenes/rules",
        "/scenes/sql",
        f"/scenes/one/{FIRST}",
        "/runs",
        f"/runs/one/{serving.runs.kept}",
        f"/runs/one/{serving.runs.training}",
        "/runs/models",
        f"/runs/models/{serving.runs.rejected}",
    ):
        page = seen.go(path)
        for plot in page.locator("[data-chart]").all():
            expect(plot.locator("canvas")).to_be_visible()
        found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        assert [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in bad] == [], path
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
