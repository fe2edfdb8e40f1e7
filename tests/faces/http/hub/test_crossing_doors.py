"""The doors of what crosses a gate beside galleries: published models, and the gates of environments."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

from asked_images import asked
from crossed_galleries import crossed
from gallery_sites import here
from gated_hub import gated_hub
from hub_making import made_hub
from isthmus.faces.http.doors import routes_of
from isthmus.faces.http.hub.resources import acquire, galleries


def client(toml: Path, *others: Path) -> TestClient:
    made = made_hub(toml.parent, toml=toml, sites=others)
    return TestClient(Starlette(routes=[*routes_of([*galleries.doors(made.hub), *acquire.doors(made.hub)])]))


def test_published_models_are_told_and_what_a_device_makes_of_them(tmp_path: Path) -> None:
    sites = crossed(tmp_path)
    here(sites.outer, "device", "grant", "models.*", "--tag", "gate")
    for version, seed, name in (("1", 1, "see"), ("2", 2, "see"), ("7", 3, "hear")):
        sites.publish(version, seed, name)
    here(sites.inner, "model", "withdraw", "hear")
    sites.cross()
    sites.sync()
    browser = client(sites.tomls[1], sites.tomls[2])
    found = browser.get("/v1/published").json()["items"]
    assert [(one["model"], [each["version"] for each in one["versions"]]) for one in found] == [
        ("hear", []),
        ("see", ["2", "1"]),
    ]
    held = browser.get("/v1/devices/models", params={"site": "handheld"}).json()["items"]
    assert [(one["version"], one["state"]) for one in held] == [("2", "active"), ("1", "earlier")]
    assert browser.get("/v1/devices/models").json()["items"] == []
    part = browser.get("/v1/published", params={"limit": 1}).json()
    (rest,) = browser.get("/v1/published", params={"limit": 1, "after": part["next"]}).json()["items"]
    assert (part["items"][0]["model"], rest["model"]) == ("hear", "see")


def test_gates_of_environments_are_told(tmp_path: Path) -> None:
    asked(tmp_path / "hub")
    gated = gated_hub(tmp_path / "hub")
    (found,) = client(gated.hub.folder / "isthmus.toml").get("/v1/environments/gates").json()["items"]
    assert (found["environment"], found["serving"], found["receiving"]["lag"]) == ("north", True, 2)
    assert [one["kind"] for one in found["aside"]] == ["TAMPERED"]
