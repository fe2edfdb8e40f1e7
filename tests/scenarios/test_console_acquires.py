"""A console beside an interface server of the same site: it asks, shows and retries, and was given no API key."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from acquire_sites import Hub, Storage, running
from crossed_galleries import photo
from gallery_sites import until
from hub_serving import serving
from isthmus.app.people.person import Role
from isthmus.app.works.runner import WorksSettings
from isthmus.faces.cli.catalogue import recipes

PROGRAM = (sys.executable, "-m", "isthmus")
WAIT = {"prefer": "wait=60"}


@pytest.mark.xdist_group("acquire commands")
def test_the_console_asks_shows_and_retries_without_a_key_of_the_server(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "store")
    (storage.folder / "a.jpg").write_bytes(photo(3))
    hub = Hub(tmp_path / "hub", "poll_s = 0.2\nmost_attempts = 1")
    agent = hub.environment("video", storage.allow)
    table = f"address,environment,record\n{storage.url}/a.jpg,video,a\n{storage.url}/b.jpg,video,b\n"
    with running(storage, hub, agent), serving(hub.folder, WorksSettings(), recipes, PROGRAM) as served:
        key = {"authorization": f"Bearer {served.keys[Role.OPERATOR]}"}
        with httpx.Client(base_url=served.url, headers=key, timeout=90) as browser:
            files = {"file": ("list.csv", table.encode())}
            sent = browser.post(
                "/v1/operations/acquire-send", data={"label": "by console"}, files=files, headers=WAIT
            )
            assert (sent.status_code, sent.json()["state"]) == (200, "done"), sent.text
            (batch,) = browser.get("/v1/batches").json()["items"]
            place = f"/v1/batches/{batch['batch']}"
            assert (batch["owner"], batch["label"]) == ("local", "by console")
            until(lambda: browser.get(place).json()["ended"], "the batch ends")
            assert browser.get(place).json()["counts"] == {"done": 1, "failed": 1}
            (failed,) = browser.get(f"{place}/failures").json()["items"]
            assert (failed["wish"]["record"], failed["failure"]["kind"]) == ("b", "gone")
            (storage.folder / "b.jpg").write_bytes(photo(4))
            again = browser.post("/v1/operations/acquire-retry", data={"batch": batch["batch"]}, headers=WAIT)
            assert (again.status_code, again.json()["state"]) == (200, "done"), again.text
            until(lambda: browser.get(place).json()["counts"] == {"done": 2}, "what failed came")
            around = browser.get("/v1/environments").json()
            assert around["server"] is True
            assert [one["agent"] for one in around["items"][0]["agents"]] == ["video-1"]
            assert around["items"][0]["request_s"].keys() == {"0.5", "0.9", "0.99"}
            images = browser.get("/v1/images").json()["items"]
            assert [one["wish"]["record"] for one in images] == ["b", "a"]
            small = browser.get(f"/v1/images/{images[0]['filed']['digest']}/thumbnail")
            assert small.headers["content-type"] == "image/jpeg"
            typed = browser.post(
                "/acquire/ask", data={"addresses": f"{storage.url}/a.jpg", "environment": "video"}
            )
            assert typed.status_code == 303
            until(lambda: len(browser.get("/v1/batches").json()["items"]) == 2, "what was typed is asked for")
