"""Galleries and acquiring as they are looked at, in Debian's Chromium under the server's content policy."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="the page is tested by playwright: pip install playwright")


from playwright.sync_api import Page, expect

from asked_images import HOSTILE_RECORD, asked, opened, settled_now, wish
from crossed_galleries import STAFF, Crossed, crossed, photo
from hub_making import made_hub
from isthmus.acquire.ports import Asking
from isthmus.app.clock import SystemClock
from isthmus.faces.console.pages import routes
from isthmus.faces.http.hub.application import application
from isthmus.faces.http.hub.server import HubServer

PATIENCE_MS = 20_000
WIDE = {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}}
TABLET = {"color_scheme": "dark", "viewport": {"width": 768, "height": 1024}}


@dataclass
class Seen:
    """A page, where it comes from, and what went wrong in it."""

    page: Page
    base: str = ""
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        self.page.goto(f"{self.base}{path}")
        return self.page


@contextlib.contextmanager
def served(seen: Seen, toml: Path) -> Iterator[None]:
    """Serve the console of a site in a thread; its page is left before it ends."""
    made = made_hub(toml.parent, toml=toml)
    hub = made.hub
    object.__setattr__(hub, "clock", SystemClock())
    app = application(hub, routes(hub, made.frame))
    bound = socket.create_server(("127.0.0.1", 0))
    server = HubServer(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, name="console")
    thread.start()
    try:
        seen.base = f"http://127.0.0.1:{bound.getsockname()[1]}"
        yield
        seen.page.goto("about:blank")
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Crossed:
    made = crossed(tmp_path_factory.mktemp("sites"))
    made.sync()
    return made


@pytest.fixture
def seen(request: pytest.FixtureRequest, sites: Crossed, browser: Any) -> Iterator[Seen]:  # in this order
    context = browser.new_context(**{"locale": "en-GB", **getattr(request, "param", WIDE)})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    made = Seen(context.new_page())
    made.page.on("pageerror", lambda error: made.wrong.append(str(error)))
    made.page.on("dialog", lambda dialog: (made.wrong.append("a dialog opened"), dialog.dismiss()))
    made.page.on(
        "console", lambda said: made.wrong.append(said.text) if said.type in ("error", "warning") else None
    )
    yield made
    context.close()
    assert made.wrong == []


def findings(page: Page) -> list[tuple[str, list[str]]]:
    """Return what axe finds serious or critical, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in bad]


def fits(page: Page) -> bool:
    size = page.viewport_size
    return size is not None and page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_the_wall_shows_images_as_they_come_and_opens_them_large(seen: Seen, tmp_path: Path) -> None:
    toml = asked(tmp_path, datetime.now(UTC) - timedelta(minutes=1))
    with served(seen, toml):
        page = seen.go("/acquire/images")
        expect(page.locator(".tile")).to_have_count(4)
        expect(page.get_by_role("button", name=HOSTILE_RECORD)).to_be_visible()
        expect(page.locator(".tile img.there")).to_have_count(4)
        with opened(toml) as ledger:
            ledger.accept(Asking("client", "t3"), [wish("arezzo", "fresh")], datetime.now(UTC))
            settled_now(tmp_path, ledger, photo(77), "fresh")
        expect(page.get_by_role("button", name="fresh")).to_be_visible()
        page.get_by_role("button", name="fresh").click()
        expect(page.locator("dialog.picture .large.there").last).to_be_visible()
        expect(page.locator("dialog.picture .facts")).to_contain_text("Arezzo, Tuscany, Italy")
        page.keyboard.press("ArrowRight")
        expect(page.locator("dialog.picture h2")).to_have_text("lund-2")
        page.keyboard.press("Escape")
        page.get_by_label("Place").fill("lund")
        expect(page.locator(".tile")).to_have_count(2)
        expect(page).to_have_url(f"{seen.base}/acquire/images#/wall?place=se-lund")


def test_the_map_places_images_and_lists_those_of_a_place(seen: Seen, tmp_path: Path) -> None:
    with served(seen, asked(tmp_path)):
        page = seen.go("/acquire/images#/map")
        expect(page.locator(".mark")).to_have_count(2)
        expect(page.locator(".bar-end").last).to_contain_text("3 images on the map, 1 without a position")
        page.get_by_role("button", name="Lund, Skåne, Sweden: 2 images").click()
        expect(page.locator(".side .tile")).to_have_count(2)
        page.get_by_role("button", name="Close the list").click()
        expect(page.locator(".side")).to_be_hidden()
        page.get_by_role("link", name="Wall").click()
        expect(page.locator(".tile")).to_have_count(4)


@pytest.mark.parametrize("seen", [{"locale": "zh-CN"}], indirect=True)
def test_wall_and_map_speak_chinese(seen: Seen, tmp_path: Path) -> None:
    with served(seen, asked(tmp_path)):
        page = seen.go("/acquire/images")
        expect(page.get_by_role("button", name="暂停")).to_be_visible()
        expect(page.locator(".bar-end").last).to_contain_text("4 张图像")
        page.get_by_role("link", name="地图").click()
        expect(page.locator(".bar-end").last).to_contain_text("地图上 3 张图像，1 张无位置")


@pytest.mark.parametrize(
    ("seen", "places"),
    [
        (WIDE, {"/acquire": "svg.states", "/acquire/images#/map": ".mark"}),
        (
            TABLET,
            {
                "/acquire/failures": "table",
                "/acquire/environments": ".facts",
                "/acquire/images": ".tile img.there",
            },
        ),
    ],
    ids=["wide and light", "tablet and dark"],
    indirect=["seen"],
)
def test_axe_finds_nothing_serious_on_the_pages_of_acquiring_and_nothing_is_cut_off(
    seen: Seen, tmp_path: Path, places: dict[str, str]
) -> None:
    with served(seen, asked(tmp_path)):
        for place, there in places.items():
            page = seen.go(place)
            expect(page.locator(there).first).to_be_visible()
            assert findings(page) == [], place
            assert fits(page), place


@pytest.mark.soak  # the suite looks at each page once: test_product_in_a_browser
@pytest.mark.parametrize(
    ("seen", "site", "places"),
    [
        (WIDE, 0, ["/galleries", f"/galleries/of/{STAFF}?id=ann"]),
        (TABLET, 1, ["/galleries/devices", "/galleries/devices/handheld", "/galleries/gate"]),
        (TABLET, 2, [f"/galleries/of/{STAFF}"]),
    ],
    ids=["inner, wide and light", "outer, tablet and dark", "device, tablet and dark"],
    indirect=["seen"],
)
def test_axe_finds_nothing_serious_on_the_pages_of_galleries_and_nothing_is_cut_off(
    seen: Seen, sites: Crossed, site: int, places: list[str]
) -> None:
    with served(seen, sites.tomls[site]):
        for place in places:
            page = seen.go(place)
            expect(page.locator("main h1")).to_be_visible()
            for image in page.locator("main img").all():
                expect(image).not_to_have_js_property("naturalWidth", 0)
            assert findings(page) == [], place
            assert fits(page), place
