"""The page in a real browser: log in, watch images come, look at them, find them on the wall and on the map."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from acquire_making import asking, at, settled, wishes

pytest.importorskip("playwright", reason="the page is tested by playwright: pip install playwright")

from playwright.sync_api import expect

from console_site import Desk


def test_a_key_opens_the_page_and_logging_out_closes_it(desk: Desk) -> None:
    desk.expected = {401}
    page = desk.page
    page.goto(desk.base)
    page.get_by_label("API key").fill("isk_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="This key does not open the page")).to_be_visible()
    page.get_by_label("API key").fill(desk.site.keys["viewer"])
    page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_text("viewer viewer")
    page.reload()
    expect(page.locator("#who")).to_have_text("viewer viewer")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("API key")).to_be_focused()
    assert page.evaluate("fetch('/v1/me').then((answer) => answer.status)") == 401
    assert desk.site.keys["viewer"] not in page.evaluate("JSON.stringify(localStorage)")


def test_an_agents_key_does_not_open_the_page(desk: Desk) -> None:
    desk.expected = {401}
    desk.page.goto(desk.base)
    desk.page.get_by_label("API key").fill(desk.site.keys["agent"])
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator("#key-wrong")).to_contain_text("does not open")


def test_a_session_that_ends_leads_back_to_the_login(desk: Desk) -> None:
    desk.expected = {401}
    desk.enter("client", "environments")
    desk.site.call("DELETE", "/v1/keys/client", key="operator")
    expect(desk.page.get_by_text("The session is over")).to_be_visible()


def test_images_appear_on_the_wall_while_one_watches(desk: Desk) -> None:
    desk.enter()
    page = desk.page
    expect(page.get_by_text("No images yet")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    desk.site.ask("lund-1", "arezzo-1", "lund-2")
    desk.bring()
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.locator(".tile img.there")).to_have_count(3)
    expect(page.get_by_text("No images yet")).to_have_count(0)
    expect(page.locator("#said")).to_have_text(re.compile(r"\d new images?"))


def test_a_paused_wall_waits_and_says_how_many_came(desk: Desk) -> None:
    desk.enter()
    page = desk.page
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.get_by_role("button", name="Pause").click()
    desk.site.ask("lund-1", "lund-2")
    desk.bring()
    expect(page.locator(".pill")).to_have_text("2 new images ↑")
    expect(page.locator(".tile")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".tile")).to_have_count(2)
    expect(page.locator(".pill")).to_be_hidden()


def test_an_image_is_shown_large_with_its_facts_and_the_keys_go_to_its_neighbours(desk: Desk) -> None:
    desk.site.ask("lund-1", "arezzo-1", "nakuru-1", tags=["road"])
    desk.bring()
    desk.enter()
    page = desk.page
    page.get_by_role("button", name=re.compile("arezzo-1")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("arezzo-1")
    expect(dialog.locator(".large.there")).to_be_visible()
    for fact in (
        "Arezzo, Tuscany, Italy",
        "43.46320° N, 11.87960° E",
        "2026-05-01 10:30:00 from the picture (EXIF)",
        "2026-05-01T08:30:00Z",
        "Nokia N95",
        "64 × 48 px",
        "road",
        "the time has no zone",
        "unknown-place/video_arezzo-1.jpg",
        "http://store/arezzo-1.jpg",
    ):
        expect(dialog.locator(".facts")).to_contain_text(fact)
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading")).to_have_text("lund-1")
    expect(dialog.get_by_role("button", name="Next image")).to_be_disabled()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("heading")).to_have_text("nakuru-1")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=re.compile("nakuru-1"))).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name=re.compile("arezzo-1"))).to_be_focused()


def test_thousands_of_images_cost_few_elements_and_older_ones_come_as_one_scrolls(desk: Desk) -> None:
    count = 3000
    ledger = desk.site.ledger
    ledger.accept(asking("client"), wishes(count), at(0))
    tasks = ledger.claim("public", "a1", count, 60, at(1))
    ledger.settle([settled(task, 1) for task in tasks], at(2))
    desk.expected = {404}  # these images are known of, but nowhere on the disk
    desk.enter()
    page = desk.page
    expect(page.get_by_text("200+ images")).to_be_visible()
    assert page.locator(".tiles li").count() < 120
    page.wait_for_function(
        "() => { const list = document.querySelector('.scroller'); list.scrollTop = list.scrollHeight;"
        " return parseInt(document.querySelector('.bar-end .soft').textContent.replace(',', '')) >= 1000; }"
    )
    assert page.locator(".tiles li").count() < 120
    assert page.locator("*").count() < 700


def test_filters_narrow_what_is_there_and_what_comes_and_stay_in_the_address(desk: Desk) -> None:
    desk.site.ask("lund-1", tags=["road"])
    desk.site.ask("lund-2", "arezzo-1")
    desk.site.ask("lund-3", environment="intranet")
    desk.bring()
    desk.bring(key="intranet")
    desk.enter()
    page = desk.page
    expect(page.locator(".tile")).to_have_count(4)
    page.get_by_role("combobox", name="Environment").select_option("video")
    expect(page.locator(".tile")).to_have_count(3)
    page.get_by_label("Place").fill("Lund")
    expect(page.locator(".tile")).to_have_count(2)
    assert "place=se-lund" in page.url
    page.get_by_label("Tag").fill("road")
    expect(page.locator(".tile")).to_have_count(1)
    desk.site.ask("lund-4", tags=["road"])
    desk.site.ask("lund-5", "arezzo-2")
    desk.bring()
    expect(page.locator(".tile")).to_have_count(2)
    page.reload()
    expect(page.locator(".tile")).to_have_count(2)
    expect(page.get_by_label("Tag")).to_have_value("road")
    page.go_back()
    expect(page.locator(".tile")).to_have_count(4)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".tile")).to_have_count(7)
    page.get_by_label("Taken from").fill("2026-05-01T10:31")
    expect(page.get_by_text("No image fits these filters")).to_be_visible()
    assert "taken_from=2026-05-01T08%3A31" in page.url
    page.get_by_label("Taken from").fill("2026-05-01T10:30")
    expect(page.locator(".tile")).to_have_count(7)


def test_the_map_gathers_images_by_place_and_lists_those_of_a_place(desk: Desk) -> None:
    desk.site.ask("lund-1", "lund-2", "arezzo-1", "nakuru-1", "nowhere-1")
    desk.bring()
    desk.enter("viewer", "map")
    page = desk.page
    expect(page.locator(".land")).to_have_count(1)
    expect(page.locator(".mark")).to_have_count(3)
    expect(page.get_by_text("4 images on the map, 1 without a position")).to_be_visible()
    page.get_by_role("button", name="Lund, Skåne, Sweden: 2 images").click()
    side = page.get_by_role("region", name="Images of the chosen place")
    expect(side.locator(".tile")).to_have_count(2)
    side.get_by_role("button", name=re.compile("lund-1")).click()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("lund-1")
    page.keyboard.press("Escape")
    side.get_by_role("button", name="Close the list").click()
    expect(side).to_be_hidden()
    desk.site.ask("lund-3")
    desk.bring()
    expect(page.get_by_role("button", name="Lund, Skåne, Sweden: 3 images")).to_be_visible()


def test_the_map_moves_by_wheel_drag_keys_and_buttons(desk: Desk) -> None:
    desk.site.ask("lund-1", "arezzo-1")
    desk.bring()
    desk.enter("viewer", "map")
    page = desk.page
    mark = page.get_by_role("button", name=re.compile("Lund"))
    expect(mark).to_be_visible()
    seen = [mark.bounding_box()]

    def moved() -> None:
        page.wait_for_function(
            "([x, y]) => { const box = document.querySelector('.mark[aria-label^=Lund]')?.getBoundingClientRect();"
            " return !box || Math.abs(box.x - x) + Math.abs(box.y - y) > 3; }",
            arg=[seen[-1]["x"], seen[-1]["y"]] if seen[-1] else [0, 0],
        )
        page.get_by_role("button", name="Show all images").click()
        page.wait_for_function(
            "([x, y]) => { const box = document.querySelector('.mark[aria-label^=Lund]')?.getBoundingClientRect();"
            " return box && Math.abs(box.x - x) + Math.abs(box.y - y) < 2; }",
            arg=[seen[0]["x"], seen[0]["y"]] if seen[0] else [0, 0],
        )

    page.mouse.move(900, 300)
    page.mouse.wheel(0, -300)
    moved()
    page.mouse.move(900, 500)
    page.mouse.down()
    page.mouse.move(960, 540, steps=4)
    page.mouse.up()
    moved()
    page.get_by_role("group", name=re.compile("Map")).focus()
    page.keyboard.press("ArrowRight")
    moved()
    page.get_by_role("group", name=re.compile("Map")).focus()
    page.keyboard.press("+")
    moved()
    page.get_by_role("button", name="Zoom out").click()
    moved()


def test_environments_show_what_waits_and_who_was_heard_of(desk: Desk) -> None:
    desk.site.ask("a", "b", environment="video")
    desk.site.claim(1)
    desk.enter("operator", "environments")
    card = desk.page.locator(".environment")
    expect(card.get_by_role("heading")).to_have_text("video")
    expect(card.locator("dd")).to_have_text(["1", "1", "0", "0", "0", re.compile(r"\d+ s")])
    expect(card.locator(".agents")).to_contain_text(re.compile(r"a1 heard \d+ s ago"))


def test_no_view_is_wider_than_a_small_telephone(open_desk: Callable[..., Any]) -> None:
    desk = open_desk(viewport={"width": 360, "height": 640})
    desk.site.ask("lund-1", "a-record-with-a-rather-long-name-that-nobody-thought-of")
    desk.bring()
    desk.enter("operator", "wall")
    for view in ("Wall", "Map", "Batches", "Failed", "Environments"):
        desk.go(view)
        desk.page.reload()
        expect(desk.page.locator(f"main[data-view={view.lower()}]")).to_be_attached()
        assert desk.page.evaluate("document.documentElement.scrollWidth") <= 360, view
