"""Every view of the page through axe: nothing serious, wide and light, small and dark; and with keys alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright", reason="the page is tested by playwright: pip install playwright")

from playwright.sync_api import Page, expect

from console_site import Desk, picture
from isthmus.acquire.failure import Failure, Kind

SHAPES = {
    "wide and light": {"color_scheme": "light"},
    "small and dark": {"color_scheme": "dark", "viewport": {"width": 360, "height": 640}},
}


def findings(page: Page) -> list[tuple[str, list[str]]]:
    """Return what axe finds serious or critical, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in bad]


@pytest.mark.parametrize("shape", [pytest.param("wide and light", marks=pytest.mark.soak), "small and dark"])
def test_axe_finds_nothing_serious_on_any_view(open_desk: Callable[..., Any], shape: str) -> None:
    desk: Desk = open_desk(reduced_motion="reduce", **SHAPES[shape])
    page = desk.page
    page.goto(desk.base)
    expect(page.get_by_label("API key")).to_be_visible()
    assert findings(page) == []
    desk.site.ask("lund-1", "arezzo-1", "lund-2", "lund-3", tags=["road"])
    desk.bring(picture(1), picture(2), Failure(Kind.GONE, "there is no such file (404)"))
    desk.enter("operator", "wall")
    expect(page.locator(".tile img.there")).to_have_count(2)
    assert findings(page) == []
    page.locator(".tile").first.click()
    expect(page.locator(".large.there")).to_be_visible()
    assert findings(page) == []
    page.keyboard.press("Escape")
    shown = {"Map": ".mark", "Batches": ".batch", "Failed": ".failures tr", "Environments": ".agents b"}
    for view, there in shown.items():
        desk.go(view)
        expect(page.locator(there).last).to_be_visible()
        if view == "Map":
            page.locator(".mark").first.click()
            expect(page.locator(".side .tile img.there").first).to_be_visible()
        assert findings(page) == [], view
    desk.go("Batches")
    page.get_by_role("button", name="Ask for images").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert findings(page) == []


def test_the_empty_views_say_what_to_do(desk: Desk) -> None:
    desk.enter("client", "wall")
    for view, words in (
        ("Wall", "Ask for some; they appear here as they arrive."),
        ("Map", "Images that know where they were taken appear here by themselves."),
        ("Batches", "Drop a table of addresses here, or type a few."),
        ("Failed", "What cannot be had is listed here, with the reason."),
        ("Environments", "One appears with its first request"),
    ):
        desk.go(view)
        expect(desk.page.get_by_text(words)).to_be_visible()


def test_keys_alone_lead_from_the_login_to_an_image_and_back(desk: Desk) -> None:
    desk.site.ask("lund-1", "lund-2")
    desk.bring()
    page = desk.page
    page.goto(desk.base)
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(desk.site.keys["viewer"])
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.reload()
    expect(page.locator(".tile")).to_have_count(2)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for _ in range(40):  # a field for a time has many stops
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('tile')"):
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("lund-1")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=re.compile("lund-1"))).to_be_focused()
