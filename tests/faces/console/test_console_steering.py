"""What the page lets people do: ask, pause, cancel, try again; and what it shows of strings that mean harm."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the page is tested by playwright: pip install playwright")

from playwright.sync_api import expect

from console_site import Desk, picture
from isthmus.acquire.failure import Failure, Kind

GONE = Failure(Kind.GONE, "there is no such file (404)")
DENIED = Failure(Kind.DENIED, "the storage server does not know the key (403)")
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>&amp;'\"\u202e"


def test_a_batch_moves_on_while_one_watches_and_is_paused_resumed_and_cancelled(desk: Desk) -> None:
    batch = desk.site.ask("lund-1", "lund-2", "lund-3", "lund-4")
    desk.enter("client", "batches")
    page = desk.page
    card = page.locator(".batch")
    bar = card.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "0")
    desk.bring(picture(1), GONE)
    expect(bar).to_have_attribute("aria-valuenow", "50")
    expect(card.locator(".counts").first).to_contain_text(re.compile("done 1.*failed 1.*queued 2"))
    expect(card.locator(".errors")).to_contain_text("gone 1")
    card.get_by_role("button", name="Pause").click()
    expect(card.locator(".badge")).to_have_text("paused")
    assert desk.site.states(batch) == {"done": 1, "failed": 1, "paused": 2}
    card.get_by_role("button", name="Resume").click()
    expect(card.locator(".badge")).to_have_text("running")
    card.get_by_role("button", name=re.compile("^Cancel")).click()
    page.get_by_role("dialog").get_by_role("button", name="No").click()
    assert desk.site.states(batch)["queued"] == 2
    card.get_by_role("button", name=re.compile("^Cancel")).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the batch").click()
    expect(card.locator(".badge")).to_have_text("ended")
    assert desk.site.states(batch)["cancelled"] == 2
    card.get_by_role("button", name=re.compile("^Retry failed")).click()
    expect(card.locator(".counts").first).to_contain_text("queued 1")


def test_a_viewer_sees_all_and_steers_nothing(desk: Desk) -> None:
    desk.site.ask("lund-1", "lund-2")
    desk.bring(GONE)
    desk.enter("viewer", "batches")
    page = desk.page
    expect(page.locator(".batch")).to_have_count(1)
    expect(page.locator("main").get_by_role("button")).to_have_count(0)
    desk.go("Failed")
    expect(page.locator(".failures tbody tr")).to_have_count(1)
    expect(page.get_by_role("button", name=re.compile("Retry"))).to_have_count(0)


def test_a_table_with_mistakes_is_shown_by_its_lines_and_taken_when_they_are_mended(
    desk: Desk, tmp_path: Path
) -> None:
    desk.expected = {422}
    desk.enter("client", "batches")
    page = desk.page
    table = tmp_path / "list.csv"
    table.write_text(
        "address,environment,record\nhttp://s/1.jpg,video,one\nhttp://s/2.jpg,No Label,two\n,video,three\n"
    )
    page.get_by_role("button", name="Ask for images").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Label").fill("Morning")
    dialog.locator("input[type=file]").set_input_files(table)
    expect(dialog.locator(".drop")).to_contain_text("list.csv")
    dialog.get_by_role("button", name="Ask", exact=True).click()
    mistakes = dialog.get_by_role("alert")
    expect(mistakes).to_contain_text("2 lines are wrong; nothing was taken")
    expect(mistakes.locator("li")).to_have_text(
        [re.compile("^Line 3: environment 'No Label'"), re.compile("^Line 4:")]
    )
    expect(page.locator(".batch")).to_have_count(0)
    table.write_text("address,environment,record\nhttp://s/1.jpg,video,one\nhttp://s/2.jpg,video,two\n")
    dialog.locator("input[type=file]").set_input_files(table)
    dialog.get_by_role("button", name="Ask", exact=True).click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".batch h2")).to_have_text("Morning")
    expect(page.locator(".batch")).to_contain_text("2 requests")


def test_json_lines_can_be_dropped_onto_the_dialog(desk: Desk) -> None:
    desk.enter("client", "batches")
    page = desk.page
    page.get_by_role("button", name="Ask for images").first.click()
    line = json.dumps({"address": "http://s/1.jpg", "environment": "video", "record": "one"})
    carried = page.evaluate_handle(
        "(text) => { const all = new DataTransfer(); all.items.add(new File([text], 'list.jsonl')); return all; }",
        line,
    )
    page.dispatch_event("dialog.ask", "drop", {"dataTransfer": carried})
    page.get_by_role("dialog").get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".batch")).to_contain_text("1 request")


def test_a_few_addresses_are_typed_and_mistakes_name_the_lines_as_typed(desk: Desk) -> None:
    desk.expected = {422}
    desk.enter("client", "batches")
    page = desk.page
    page.get_by_role("button", name="Ask for images").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Ask", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Choose a file or type an address first")
    dialog.get_by_label("Environment").fill("video")
    dialog.get_by_label("Tags").fill("road, night")
    dialog.get_by_label("Addresses").fill("http://s/a.jpg\n\nrec-9 http://s/" + "x" * 2050 + "\nhttp://t/a.jpg")
    dialog.get_by_role("button", name="Ask", exact=True).click()
    expect(dialog.locator(".mistakes li")).to_have_text([re.compile("^Line 3: address is longer than 2048 bytes")])
    dialog.get_by_label("Addresses").fill("http://s/a.jpg\n\nrec-9 http://s/x y.jpg\nhttp://t/a.jpg")
    dialog.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".batch")).to_contain_text("3 requests")
    asked = desk.site.call("GET", "/v1/requests").json
    assert [(one["wish"]["record"], one["wish"]["address"]) for one in asked] == [
        ("a", "http://s/a.jpg"),
        ("rec-9", "http://s/x y.jpg"),
        ("a-2", "http://t/a.jpg"),
    ]
    assert all(one["wish"]["tags"] == ["road", "night"] for one in asked)


def test_what_failed_is_listed_with_its_reason_and_tried_again_one_by_one_or_by_kind(desk: Desk) -> None:
    first = desk.site.ask("lund-1", "lund-2", "lund-3")
    desk.bring(GONE, DENIED, GONE)
    second = desk.site.ask("lund-4", "lund-5")
    desk.bring(GONE, DENIED)
    desk.enter("client", "failed")
    page = desk.page
    rows = page.locator(".failures tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.first).to_contain_text("the storage server does not know the key (403)")
    page.get_by_role("button", name="Retry lund-5").click()
    expect(rows).to_have_count(4)
    assert desk.site.states(second) == {"failed": 1, "queued": 1}
    page.get_by_role("combobox", name="Kind").select_option("gone")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Retry all 3 gone").click()
    expect(page.get_by_text("Nothing that failed fits these filters")).to_be_visible()
    assert desk.site.states(first) == {"failed": 1, "queued": 2}
    assert desk.site.states(second) == {"queued": 2}
    page.goto(f"{desk.base}/#/failed?batch={first}")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Retry all 1 of the batch").click()
    expect(rows).to_have_count(0)
    assert desk.site.states(first) == {"queued": 3}


def test_failures_that_come_while_one_looks_are_offered_not_pushed_in(desk: Desk) -> None:
    desk.site.ask("lund-1", "lund-2")
    desk.bring(GONE)
    desk.enter("client", "failed")
    page = desk.page
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(page.locator(".failures tbody tr")).to_have_count(1)
    desk.bring(DENIED)
    page.get_by_role("button", name="1 new failure").click()
    expect(page.locator(".failures tbody tr")).to_have_count(2)


def test_strings_that_mean_harm_are_shown_as_texts_everywhere(desk: Desk) -> None:
    site = desk.site
    site.filing.facts[HOSTILE] = {
        "camera": HOSTILE,
        "place": "it-arezzo",
        "place_name": HOSTILE,
        "country": HOSTILE,
        "latitude": 43.0,
        "longitude": 11.0,
        "flaws": (HOSTILE,),
        "path": f"x/{HOSTILE}.jpg",
    }
    wish = {"address": f"http://s/{HOSTILE}", "environment": "video", "record": HOSTILE, "tags": [HOSTILE[:40]]}
    body = json.dumps([wish, wish | {"record": HOSTILE[::-1]}]).encode()
    given = {"Content-Type": "application/json"}
    label = "%3Cimg%20src=x%20onerror=document.title=1%3E"
    assert site.call("POST", f"/v1/acquisitions?label={label}", body, headers=given).status == 202
    site.filing._one = _by_record(site.filing)  # type: ignore[method-assign]
    desk.bring(picture(1), Failure(Kind.GONE, HOSTILE))
    desk.enter("client", "wall")
    page = desk.page
    page.locator(".tile").click()
    facts = page.locator(".facts")
    expect(facts).to_contain_text(f"http://s/{HOSTILE}")
    assert facts.inner_text().count(HOSTILE) >= 6
    page.keyboard.press("Escape")
    desk.go("Map")
    page.locator(".mark").click()
    expect(page.locator(".side h2")).to_have_text(HOSTILE)
    desk.go("Batches")
    expect(page.locator(".batch h2")).to_have_text("<img src=x onerror=document.title=1>")
    desk.go("Failed")
    expect(page.locator(".failures tbody")).to_contain_text(HOSTILE)
    expect(page.locator(".failures tbody")).to_contain_text(HOSTILE[::-1])
    assert page.locator("main img[src=x], main script").count() == 0
    assert page.title() == "Failed · Isthmus"


def _by_record(filing):  # type: ignore[no-untyped-def]
    """File under a plain path: what a record is called must not matter to the disk of this double."""
    from console_site import _with
    from isthmus.acquire.image import Filed, joined, size_of

    def one(arrived):  # type: ignore[no-untyped-def]
        path = filing.folder / "plain.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(joined(arrived.content))
        plain = Filed(arrived.digest, arrived.digest, "plain.jpg", size_of(arrived.content), "jpeg", 64, 48, "x")
        return _with(plain, dict(filing.facts[arrived.wish.record]) | {"path": "plain.jpg"})

    return one
