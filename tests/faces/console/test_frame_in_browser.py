"""The frame in a browser: keys, theme, language, what is begun, live figures, charts, axe; nothing is refused by
the content policy."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="the page is tested by playwright: pip install playwright")

import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from hub_making import Made
from isthmus.core.progress import Progress
from isthmus.faces.console.application import site_application
from pair_pages import pages_of, pair_with_rounds
from recovery_sites import Site

PATIENCE_MS = 20_000
SHAPES: dict[str, dict[str, Any]] = {
    "wide and light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "tablet and dark": {"color_scheme": "dark", "viewport": {"width": 768, "height": 1024}},
}


@dataclass
class Seat:
    """A page open at the server, and what went wrong in it."""

    made: Made
    base: str
    page: Page
    wrong: list[str] = field(default_factory=list)

    def go(self, place: str) -> Page:
        self.page.goto(f"{self.base}{place}")
        return self.page

    def note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)


@contextlib.contextmanager
def serving(made: Made) -> Iterator[str]:
    """Serve the whole application: doors, pages, events, headers."""
    app = site_application(made.hub)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        ready = threading.Event()
        began = server.startup

        async def startup(*sockets: Any, **more: Any) -> None:
            await began(*sockets, **more)
            ready.set()

        server.startup = startup  # type: ignore[method-assign]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        assert ready.wait(30)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(15)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Site]:
    return pair_with_rounds(tmp_path_factory.mktemp("pair"))


@contextlib.contextmanager
def seated(browser: Browser, sites: tuple[Site, Site], folder: Path, **more: Any) -> Iterator[Seat]:
    made = pages_of(sites[0], folder, others=(sites[1],))
    with serving(made) as base:
        context = browser.new_context(**({"locale": "en-GB", "timezone_id": "Europe/Berlin"} | more))
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        seat = Seat(made, base, context.new_page())
        seat.page.on("console", seat.note)
        seat.page.on("pageerror", lambda error: seat.wrong.append(str(error)))
        try:
            yield seat
        finally:
            context.close()
    assert seat.wrong == []


def findings(page: Page) -> list[tuple[str, list[str]]]:
    """Return what axe finds serious or critical, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in bad]


@pytest.mark.soak  # the suite looks at each page once: test_product_in_a_browser
@pytest.mark.parametrize("shape", SHAPES)
def test_axe_finds_nothing_serious_and_nothing_runs_off_the_page(
    browser: Any, sites: tuple[Site, Site], tmp_path: Path, shape: str
) -> None:
    with seated(browser, sites, tmp_path, reduced_motion="reduce", **SHAPES[shape]) as seat:
        assert seat.made.guard.person is not None
        seat.made.works.start("recovery backup", {}, seat.made.guard.person)
        seat.made.works.become("w1", progress=Progress("packing", 1, 4))
        seat.made.works.start("recovery verify", {}, seat.made.guard.person)
        seat.made.works.become("w2", state="failed", error="it differs", said="main.bank.payers: other rows")
        for place in ("/", "/works", "/works/w2", "/recovery", "/recovery/switchover", "/recovery/failover"):
            page = seat.go(place)
            if place == "/recovery":
                expect(page.locator(".plot canvas")).to_be_visible()
            assert findings(page) == [], place
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider <= 0, place


def test_keys_lead_through_the_pages(browser: Any, sites: tuple[Site, Site], tmp_path: Path) -> None:
    with seated(browser, sites, tmp_path) as seat:
        page = seat.go("/")
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.keyboard.press("g")
        page.keyboard.press("c")
        expect(page.get_by_role("heading", name="Recovery", exact=True)).to_be_visible()
        page.get_by_label("Request line").focus()
        page.keyboard.type("g w")
        expect(page.get_by_label("Request line")).to_have_value("g w")


def test_theme_and_language_are_chosen_on_the_page(browser: Any, sites: tuple[Site, Site], tmp_path: Path) -> None:
    with seated(browser, sites, tmp_path, color_scheme="light") as seat:
        page = seat.go("/works")
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_label("Language and theme").click()
        page.get_by_role("button", name="Dark").click()
        assert page.evaluate(ground) != light
        page.get_by_label("Language and theme").click()
        page.get_by_role("button", name="中文").click()
        expect(page.get_by_role("heading", name="任务")).to_be_visible()
        assert page.evaluate("document.documentElement.lang") == "zh-CN"


def test_what_is_begun_by_a_button_shows_its_progress_and_its_end(
    browser: Any, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    with seated(browser, sites, tmp_path) as seat:
        page = seat.go("/recovery")
        page.get_by_role("button", name="Take a round now").click()
        row = page.locator("#acted .work")
        expect(row).to_contain_text("recovery backup")
        seat.made.works.become("w1", progress=Progress("packing", 1, 4, "files"))
        expect(row).to_contain_text("packing 1 / 4 files")
        seat.made.works.become("w1", state="done", ended=seat.made.works.begun[0].begun, said="sent")
        expect(row).to_have_attribute("data-state", "done")
        row.get_by_label("Close").click()
        expect(row).to_have_count(0)


def test_the_command_follows_what_is_typed(browser: Any, sites: tuple[Site, Site], tmp_path: Path) -> None:
    with seated(browser, sites, tmp_path) as seat:
        page = seat.go("/recovery")
        form = page.locator("form.act", has=page.get_by_label("Request line"))
        form.get_by_text("Command").click()
        expect(form.locator("code")).to_contain_text("recovery resend LINE")
        page.get_by_label("Request line").fill("a b")
        expect(form.locator("code")).to_contain_text("recovery resend 'a b'")


def test_what_the_server_refuses_is_said_and_changes_nothing_on_the_page(
    browser: Any, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    with seated(browser, sites, tmp_path) as seat:
        page = seat.go("/recovery")
        page.evaluate("document.querySelector('form.act input[name=csrf]').value = 'wrong'")
        page.get_by_role("button", name="Take a round now").click()
        expect(page.locator(".notice")).to_contain_text("token")
        expect(page.locator("#acted .work")).to_have_count(0)
        seat.wrong = [one for one in seat.wrong if "403" not in one]


def test_the_overview_follows_what_changes(browser: Any, sites: tuple[Site, Site], tmp_path: Path) -> None:
    with seated(browser, sites, tmp_path) as seat:
        page = seat.go("/")
        expect(page.locator(".sites .site")).to_have_count(2)
        expect(page.locator("#live")).to_have_attribute("data-state", "on")
        assert seat.made.guard.person is not None
        seat.made.works.start("recovery backup", {}, seat.made.guard.person)
        expect(page.locator("#overview-now .work")).to_contain_text("recovery backup")
