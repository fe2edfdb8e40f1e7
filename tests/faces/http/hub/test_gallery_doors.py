"""The doors of galleries and of acquiring: typed, paged, harmless with hostile names and images."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from asked_images import HOSTILE_RECORD, NOW, REASON, asked
from crossed_galleries import HOSTILE_ID, HOSTILE_TEXT, STAFF, Crossed, crossed
from gallery_making import alter
from hub_making import made_hub
from isthmus.app.galleries.outer import any_set
from isthmus.app.people.person import Role
from isthmus.core.errors import IsthmusError
from isthmus.faces.http.answers import told
from isthmus.faces.http.doors import routes_of
from isthmus.faces.http.hub.resources import acquire, galleries
from isthmus.faces.http.openapi import About, document


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Crossed:
    made = crossed(tmp_path_factory.mktemp("sites"))
    made.sync()
    return made


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asked(tmp_path_factory.mktemp("hub"))


def client(toml: Path, *others: Path) -> TestClient:
    """Return a client of the doors of a site, which shows others too; its clock stands at the makers' time."""
    made = made_hub(toml.parent, toml=toml, sites=others)
    made.clock.moment = NOW
    doors = [*galleries.doors(made.hub), *acquire.doors(made.hub)]
    raised = dict.fromkeys((HTTPException, IsthmusError, OSError, Exception), told)
    return TestClient(
        Starlette(routes=[*routes_of(doors)], exception_handlers=raised), raise_server_exceptions=False
    )  # type: ignore[arg-type]


def every(browser: TestClient, path: str, **query: Any) -> list[Any]:
    """Read a list to its end, two items a page."""
    found: list[Any] = []
    after = ""
    while True:
        answer = browser.get(path, params={"limit": 2, "after": after} | query)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert len(told["items"]) <= 2
        found += told["items"]
        after = told["next"]
        if not after:
            return found


def problem(browser: TestClient, place: str, status: int, **query: Any) -> Mapping[str, Any]:
    answer = browser.get(place, params=query or None)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: Mapping[str, Any] = answer.json()
    assert told["status"] == status
    return told


def test_each_door_is_described_and_needs_no_more_than_a_viewer(tmp_path: Path) -> None:
    made = made_hub(tmp_path)
    doors = [*galleries.doors(made.hub), *acquire.doors(made.hub)]
    assert {door.role for door in doors} == {Role.VIEWER}
    described = document(doors, "1", About("t", "d"))
    assert len(described["paths"]) == len({door.path for door in doors})
    assert {"Reference", "DeviceShown", "BatchShown"} <= described["components"]["schemas"].keys()


def test_galleries_are_told_with_position_at_each_of_the_sites_that_are_shown(sites: Crossed) -> None:
    browser = client(*sites.tomls)
    inner, outer, device = (browser.get("/v1/galleries", params={"site": name}).json() for name in
                            ("inner", "outer", "handheld"))  # fmt: skip
    assert (inner["role"], outer["role"], device["role"]) == ("inner", "outer", "device")
    assert inner["position"] == outer["position"]
    assert [one["gallery"] for one in outer["items"]] == [STAFF]
    assert (device["enrolled"], device["items"][0]["verified"]) == ("handheld", True)
    assert browser.get("/v1/galleries").json()["site"] == "inner"
    assert "did you mean 'outer'?" in problem(browser, "/v1/galleries", 404, site="outre")["detail"]


def test_records_are_paged_found_by_id_and_their_images_drawn_anew(sites: Crossed) -> None:
    browser = client(sites.tomls[1])
    place = f"/v1/galleries/{STAFF}/references"
    found = every(browser, place)
    assert {one["id"] for one in found} == {"ann", "bob", "large", HOSTILE_ID}
    by_id = {one["id"]: one for one in found}
    assert by_id["bob"]["attributes"] == {"name": HOSTILE_TEXT}
    assert every(browser, place, id="ann") == [by_id["ann"]]
    assert every(browser, place, id="nobody") == []
    drawn = browser.get(f"/v1/references/{by_id['ann']['image']}/image", params={"edge": 40})
    assert drawn.headers["content-type"] == "image/jpeg"
    assert drawn.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert b"script" not in drawn.content, "what stood in its EXIF is left out"
    assert Image.open(io.BytesIO(drawn.content)).size == (40, 40)
    again = browser.get(
        f"/v1/references/{by_id['ann']['image']}/image",
        params={"edge": 40},
        headers={"if-none-match": drawn.headers["etag"]},
    )
    assert again.status_code == 304
    problem(browser, f"/v1/references/{by_id['large']['image']}/image", 404)


@pytest.mark.parametrize(
    ("place", "status"),
    [
        (f"/v1/references/{'0' * 64}/image", 404),
        ("/v1/references/..%2f..%2fetc%2fpasswd/image", 404),
        ("/v1/references/zz/image", 404),
        (f"/v1/references/{'0' * 64}/image?edge=4", 422),
        ("/v1/galleries/galleries.stuff/references", 404),
        ("/v1/galleries/galleries.staff/references?after=notours", 422),
        ("/v1/galleries?after=%22", 422),
        ("/v1/devices?limit=0", 422),
        ("/v1/gate?colour=red", 422),
    ],
)
def test_wrong_names_and_parameters_are_told_so(sites: Crossed, place: str, status: int) -> None:
    assert problem(client(sites.tomls[1]), place, status)["detail"]


def test_a_damaged_image_gives_a_placeholder(tmp_path: Path) -> None:
    sites = crossed(tmp_path)
    browser = client(sites.tomls[1])
    (ann,) = every(browser, f"/v1/galleries/{STAFF}/references", id="ann")
    with any_set(sites.tomls[1]) as held:
        alter(held, bytes.fromhex(ann["image"]), b"<svg onload=alert(1)>")
    answer = browser.get(f"/v1/references/{ann['image']}/image")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert b"onload" not in answer.content


def test_devices_grants_the_gate_and_the_quarantine_are_told(sites: Crossed) -> None:
    browser = client(*sites.tomls)
    (device,) = every(browser, "/v1/devices", site="outer")
    assert (device["name"], device["state"], device["galleries"][0]["behind"]) == ("handheld", "enrolled", 0)
    assert [one["galleries"] for one in every(browser, "/v1/grants", site="outer")] == [[STAFF]]
    assert every(browser, "/v1/devices") == every(browser, "/v1/grants") == []
    sending, receiving = (browser.get("/v1/gate", params={"site": one}).json() for one in ("inner", "outer"))
    assert (sending["side"], receiving["side"]) == ("sending", "receiving")
    assert sending["sending"]["head"] == receiving["receiving"]["standing"]
    problem(browser, "/v1/gate", 404, site="handheld")
    (aside,) = every(browser, "/v1/quarantine", site="outer")
    assert (aside["what"], aside["gallery"], aside["name"]) == ("image", STAFF, "large")
    assert every(browser, "/v1/quarantine") == []
    acts = every(browser, "/v1/galleries/audit", site="outer")
    assert [one["number"] for one in acts] == sorted((one["number"] for one in acts), reverse=True)
    assert {"apply", "device enrolled", "received"} <= {one["act"] for one in acts}


def test_batches_failures_and_requests_are_told_page_by_page(asking: Path) -> None:
    browser = client(asking)
    going, ended = every(browser, "/v1/batches", limit=1)
    assert (going["label"], ended["label"]) == (f"going {HOSTILE_TEXT}", "ended")
    assert browser.get(f"/v1/batches/{ended['batch']}").json() == ended
    (failure,) = every(browser, f"/v1/batches/{ended['batch']}/failures")
    assert (failure["failure"]["kind"], failure["failure"]["reason"]) == ("gone", REASON)
    assert len(every(browser, "/v1/requests")) == 8
    assert {one["state"] for one in every(browser, "/v1/requests", state="failed,queued")} == {"failed", "queued"}
    assert browser.get(f"/v1/requests/{failure['request']}").json() == failure
    for place, status in (
        ("/v1/batches/none", 404),
        ("/v1/batches/none/failures", 404),
        ("/v1/requests?batch=none", 404),
        ("/v1/requests?state=mad", 422),
        ("/v1/requests?taken_from=2026-05-01T00:00:00", 422),
        (f"/v1/requests/{1 << 70}", 404),
        ("/v1/batches?after=zzz", 422),
    ):
        problem(browser, place, status)


def test_images_come_with_place_and_time_and_are_got_by_digest(asking: Path) -> None:
    browser = client(asking)
    found = every(browser, "/v1/images")
    assert [one["wish"]["record"] for one in found] == ["lund-2", HOSTILE_RECORD, "arezzo", "lund"]
    assert [one["wish"]["record"] for one in every(browser, "/v1/images", place="it-arezzo")] == ["arezzo"]
    lund, hostile = found[-1]["filed"]["digest"], found[1]["filed"]["digest"]
    small = browser.get(f"/v1/images/{lund}/thumbnail", params={"edge": 32})
    assert (small.status_code, small.headers["content-type"]) == (200, "image/jpeg")
    stored = browser.get(f"/v1/images/{hostile}")
    assert stored.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert stored.headers["x-content-type-options"] == "nosniff"
    placeholder = browser.get(f"/v1/images/{hostile}/thumbnail")
    assert (placeholder.status_code, placeholder.headers["content-type"]) == (200, "image/svg+xml")
    for place in (f"/v1/images/{'0' * 64}", f"/v1/images/{'0' * 64}/thumbnail", "/v1/images/..%2fsecret"):
        problem(browser, place, 404)


def test_who_watches_is_told_what_ended_since(asking: Path) -> None:
    browser = client(asking)
    now = browser.get("/v1/acquired").json()
    assert now["items"] == []
    all_ = browser.get("/v1/acquired", params={"after": 0}).json()
    assert all_["after"] == now["after"]
    assert [one["kind"] for one in all_["items"]].count("done") == 4
    environments = browser.get("/v1/environments").json()
    assert [one["environment"] for one in environments["items"]] == ["night", "public"]
    assert environments["server"] is False


def test_a_site_without_galleries_and_acquiring_has_empty_lists(tmp_path: Path) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "loop"\n')
    browser = client(toml)
    for place in ("galleries", "galleries/audit", "devices", "grants", "quarantine", "batches", "images",
                  "environments", "requests"):  # fmt: skip
        assert every(browser, f"/v1/{place}") == []
