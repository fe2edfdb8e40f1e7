"""A site for tests of the page: a server whose filing knows pictures, a browser that notes what goes wrong."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from acquire_serving import RememberingFiling, Site, serving
from isthmus.acquire.failure import Failure
from isthmus.acquire.image import Arrived, Filed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PATIENCE_MS = 20_000
FLAW = "the time has no zone"
_USUAL = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "timezone_id": "Europe/Berlin"}
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PLACES = {
    "lund": ("se-lund", "Lund, Skåne, Sweden", 55.7047, 13.191),
    "arezzo": ("it-arezzo", "Arezzo, Tuscany, Italy", 43.4632, 11.8796),
    "nakuru": ("ke-nakuru", "Nakuru, Nakuru County, Kenya", -0.3072, 36.0723),
}


def picture(number: int) -> bytes:
    """Return a small JPEG of a colour of its own."""
    made = io.BytesIO()
    colour = (40 + number * 37 % 200, 40 + number * 91 % 200, 40 + number * 53 % 200)
    Image.new("RGB", (64, 48), colour).save(made, "jpeg")
    return made.getvalue()


class PictureFiling(RememberingFiling):
    """Files what is told of a record by `facts`, and by the place that its name begins with."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.facts: dict[str, Mapping[str, Any]] = {}

    def _one(self, one: Arrived) -> Filed | Failure:
        filed = super()._one(one)
        if isinstance(filed, Failure):
            return filed
        place = _PLACES.get(one.wish.record.partition("-")[0])
        known: dict[str, Any] = {
            "width": 64,
            "height": 48,
            "camera": "Nokia N95",
            "flaws": (FLAW,),
        }
        if place is not None:
            known |= dict(zip(("place", "place_name", "latitude", "longitude"), place, strict=True))
            known |= {"place_from": "exif", "taken_from": "exif", "taken": datetime(2026, 5, 1, 8, 30, tzinfo=UTC)}
        return _with(filed, known | dict(self.facts.get(one.wish.record, {})))

    async def thumbnail(self, filed: Filed, edge: int) -> Path:
        return self.path(filed)


def _with(filed: Filed, more: Mapping[str, Any]) -> Filed:
    values = {name: getattr(filed, name) for name in filed.__struct_fields__}
    return Filed(**(values | more))


@dataclass
class Desk:
    """The site, one page that is open there, and what it did that it should not."""

    site: Site
    page: Page
    foreign: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)
    brought: int = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.site.port}"

    def enter(self, key: str = "client", view: str = "wall") -> None:
        """Log in and go to a view."""
        self.page.goto(f"{self.base}/#/{view}")
        self.page.get_by_label("API key").fill(self.site.keys[key])
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.locator(f"main[data-view={view.partition('?')[0]}]")).to_be_attached()

    def go(self, view: str) -> None:
        """Choose a view by its tab."""
        self.page.get_by_role("navigation").get_by_role("link", name=view).click()
        expect(self.page.locator(f"main[data-view={view.lower()}]")).to_be_attached()

    def bring(self, *outcomes: bytes | Failure, key: str = "agent") -> None:
        """Deliver outcomes for what is queued; pictures as long as something is where none are given."""
        while True:
            claimed = self.site.claim(len(outcomes) or 16, key=key)
            count = len(claimed["tasks"])
            if not count:
                return
            made = outcomes or [picture(self.brought + number) for number in range(count)]
            self.brought += count
            assert self.site.deliver(claimed, made).status == 200
            if outcomes:
                return

    def note(self, message: ConsoleMessage) -> None:
        """Note what the console shows, but for refusals that the test provokes."""
        refused = any(f"status of {status} " in message.text for status in self.expected)
        if message.type in ("error", "warning") and not refused:
            self.wrong.append(message.text)

    def see(self, request: Request) -> None:
        """Note what is asked of anybody else."""
        if not request.url.startswith((f"{self.base}/", "data:", "blob:")):
            self.foreign.append(request.url)


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """Run Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def desk(browser: Browser, folder: Path, **more: Any) -> Iterator[Desk]:
    """Open a page on a server of its own; whatever went wrong in it fails the test at the end."""
    with serving(folder, filing=PictureFiling(folder / "images")) as site:
        context = browser.new_context(**(_USUAL | more))
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        try:
            made = Desk(site, context.new_page())
            made.page.on("console", made.note)
            made.page.on("pageerror", lambda error: made.wrong.append(str(error)))
            made.page.on("request", made.see)
            made.page.on("dialog", lambda dialog: (made.wrong.append("a dialog opened"), dialog.dismiss()))
            yield made
        finally:
            context.close()
        assert made.wrong == []
        assert made.foreign == []
