"""The pages of galleries at an inner site, an outer one and a device: what they show and offer to whom."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from crossed_galleries import HOSTILE_ID, HOSTILE_TEXT, STAFF, Crossed, crossed, photo
from gallery_sites import here
from hub_making import TOKEN, flaws, made_hub
from isthmus.app.people.person import Role


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Crossed:
    made = crossed(tmp_path_factory.mktemp("sites"))
    made.sync()
    return made


def client(toml: Path, *others: Path, role: Role | None = Role.ADMIN) -> TestClient:
    return made_hub(toml.parent, role, toml, others).client()


def page(browser: TestClient, path: str, status: int = 200, **headers: str) -> str:
    answer = browser.get(path, headers=headers)
    assert answer.status_code == status, answer.text
    assert flaws(answer.text) == []
    assert len(answer.content) < 120_000
    return answer.text


PLACES = ("", "/devices", "/gate", "/history", f"/of/{STAFF}", f"/of/{STAFF}?id=ann")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("site", [0, 1, 2])
def test_every_page_is_well_formed_in_both_languages_and_for_each_role(
    sites: Crossed, site: int, language: str
) -> None:
    for role in Role:
        browser = client(sites.tomls[site], role=role)
        for place in PLACES:
            text = page(browser, f"/galleries{place}", **{"accept-language": language})
            assert ("图库" in text) is (language == "zh")


def test_hostile_names_and_attributes_are_shown_harmlessly(sites: Crossed) -> None:
    for toml in sites.tomls:
        text = page(client(toml), f"/galleries/of/{STAFF}")
        assert html.escape(HOSTILE_TEXT, quote=True) in text.replace("&#39;", "&#x27;").replace("&#34;", "&quot;")
        assert "<script>alert" not in text
        assert "onerror=alert(1)>" not in text
        answer = client(toml).get(f"/galleries/of/{STAFF}", params={"id": HOSTILE_ID})
        assert answer.status_code == 200
        assert flaws(answer.text) == []
        assert "onerror=alert(1)>" not in answer.text


def test_the_inner_site_adds_replaces_and_removes_by_operations_that_show_their_command(sites: Crossed) -> None:
    made = made_hub(sites.inner, toml=sites.tomls[0])
    browser = made.client()
    text = page(browser, "/galleries")
    assert "gallery add [--set SET] NAME ID PHOTO" in text
    assert 'type="file"' in text
    text = page(browser, f"/galleries/of/{STAFF}?id=ann")
    assert f"gallery replace [--set SET] {STAFF} ann PHOTO" in text
    assert f"gallery remove {STAFF} ann" in text
    values = {"csrf": TOKEN, "name": STAFF, "ids": "ann", "confirm": "remove"}
    assert browser.post("/act/gallery-remove", data=values).status_code in (200, 303)
    assert [one.operation for one in made.works.begun] == ["gallery remove"]


def test_the_outer_site_offers_devices_grants_and_the_gate_but_no_records(sites: Crossed) -> None:
    browser = client(sites.tomls[1])
    text = page(browser, f"/galleries/of/{STAFF}?id=ann")
    assert "gallery replace" not in text
    text = page(browser, "/galleries/devices")
    assert "device invite [--tag TAG] [--hours HOURS] NAME" in text
    assert "device withdraw 1" in text
    text = page(browser, "/galleries/devices/handheld")
    assert "device revoke handheld" in text
    assert "device tag handheld" in text
    text = page(browser, "/galleries/gate")
    assert "gate receive" in text
    assert "gate send" not in text
    assert "large" in text, "the refused image is told"


def test_a_viewer_sees_all_and_can_press_nothing(sites: Crossed) -> None:
    browser = client(sites.tomls[0], role=Role.VIEWER)
    for place in ("/galleries", "/galleries/gate"):
        text = page(browser, place)
        forms = text.split('<form class="act"')[1:]
        assert forms
        assert all(" disabled>" in form.partition("</form>")[0] for form in forms)


def test_who_is_not_logged_in_is_led_to_the_login(sites: Crossed) -> None:
    browser = client(sites.tomls[0], role=None)
    for place in PLACES:
        answer = browser.get(f"/galleries{place}")
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=")


def test_another_site_is_shown_and_not_changed(sites: Crossed) -> None:
    browser = client(sites.tomls[0], *sites.tomls[1:])
    text = page(browser, "/galleries")
    assert 'href="/galleries?site=outer"' in text
    for place in ("/galleries/devices", "/galleries/gate", "/galleries"):
        text = page(browser, f"{place}?site=outer")
        assert '<form class="act"' not in text
    text = page(browser, f"/galleries/of/{STAFF}?site=handheld")
    assert "site=handheld" in text
    page(browser, "/galleries?site=elsewhere", 404)


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("/galleries/of/galleries.stuff", 404),
        (f"/galleries/of/{STAFF}?id=nobody", 404),
        (f"/galleries/of/{STAFF}?after=xyz", 422),
        ("/galleries/devices/nobody", 404),
        ("/galleries/history?after=x", 422),
        ("/galleries/history?after=99999999999999999999999", 422),
    ],
)
def test_what_is_not_there_is_said_on_a_page(sites: Crossed, place: str, status: int) -> None:
    assert page(client(sites.tomls[1]), place, status)


def test_a_gap_shows_its_alarm_its_line_and_what_waits(tmp_path: Path) -> None:
    sites = crossed(tmp_path)
    sites.add("cleo", photo(9))
    here(sites.inner, "gate", "send")
    for file in (tmp_path / "gate-inner").iterdir():
        file.unlink()
    sites.add("dan", photo(10))
    sites.cross(code=3)
    text = page(client(sites.tomls[1]), "/galleries/gate")
    assert '<pre tabindex="0">galleries 1 4-5 ' in text
    assert "<b>changes are missing</b>" in text
    line = text.partition('<pre tabindex="0">')[2].partition("<")[0]
    text = page(client(sites.tomls[0]), "/galleries/gate")
    assert "gate resend LINE" in text
    here(sites.inner, "gate", "resend", line)
    sites.cross()
    assert "<b>changes are missing</b>" not in page(client(sites.tomls[1]), "/galleries/gate")


def test_records_go_on_page_by_page(tmp_path: Path) -> None:
    sites = crossed(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(30):
        (folder / f"p{number:02d}.jpg").write_bytes(photo(number + 50))
    here(sites.inner, "gallery", "import", "many", str(folder))
    browser = client(sites.tomls[0])
    text = page(browser, "/galleries/of/galleries.many")
    assert text.count('class="card"') == 24
    rest = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    text = page(browser, rest)
    assert text.count('class="card"') == 6
    assert 'rel="next"' not in text


def test_a_site_without_galleries_says_so(tmp_path: Path) -> None:
    text = page(made_hub(tmp_path).client(), "/galleries")
    assert "No site here holds galleries" in text


def test_what_takes_several_values_has_several_fields_and_the_command_names_it_once(sites: Crossed) -> None:
    text = page(client(sites.tomls[0]), "/galleries")
    form = text.partition('action="/act/gallery-add"')[2].partition("</form>")[0]
    assert form.count('name="set"') == 3
    assert form.partition("<code>")[2].count("--set") == 1
    text = page(client(sites.tomls[1]), "/galleries/devices/handheld")
    form = text.partition('action="/act/device-tag"')[2].partition("</form>")[0]
    assert form.count('name="tags"') == 4
    assert form.count('value="gate"') == 1, "the tag that it has"
    assert form.count('name="name" value="handheld"') == 1
