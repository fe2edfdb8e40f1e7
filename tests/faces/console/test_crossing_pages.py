"""The pages of what crosses a gate beside galleries: published models, environments reached through folders."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from acquire_gates import Gated
from asked_images import asked
from crossed_galleries import Crossed, crossed
from gallery_sites import here
from gated_hub import ends, gated_hub
from hub_making import TOKEN, flaws, made_hub
from isthmus.app.people.person import Role


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Crossed:
    made = crossed(tmp_path_factory.mktemp("sites"))
    here(made.outer, "device", "grant", "models.*", "--tag", "gate")
    made.publish("1", 1)
    made.publish("2", 2)
    made.publish("7", 3, name="hear")
    here(made.inner, "model", "withdraw", "hear", "--why", "<b>deaf</b>")
    made.cross()
    made.sync()
    return made


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Gated:
    folder = tmp_path_factory.mktemp("gates") / "hub"
    asked(folder)
    return gated_hub(folder)


def client(toml: Path, *others: Path, role: Role | None = Role.ADMIN) -> TestClient:
    return made_hub(toml.parent, role, toml, others).client()


def page(browser: TestClient, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    assert flaws(answer.text) == []
    assert len(answer.content) < 120_000
    return answer.text


@pytest.mark.parametrize("role", list(Role))
def test_models_are_shown_at_every_site_and_to_each_role(sites: Crossed, role: Role) -> None:
    for toml in sites.tomls:
        assert ">see<" in page(client(toml, role=role), "/galleries/models")


def test_the_inner_site_says_what_was_sent_and_publishes_and_withdraws(sites: Crossed) -> None:
    made = made_hub(sites.inner, toml=sites.tomls[0])
    browser = made.client()
    text = page(browser, "/galleries/models")
    assert "sent through the gate" in text
    assert "the embedder 2" in text
    assert "Every version is withdrawn." in text
    assert "&lt;b&gt;deaf&lt;/b&gt;" in text
    assert "model publish [--name NAME] [--version VERSION] [--note NOTE] [--keep KEEP] WHAT" in text
    assert "model withdraw [--version VERSION] [--why WHY] see" in text
    assert "model show hear" not in text, "there is no version to show"
    values = {"csrf": TOKEN, "name": "see", "version": "1", "why": "old", "confirms": "see", "confirm": "see"}
    assert browser.post("/act/model-withdraw", data=values).status_code == 303
    assert browser.post("/act/model-withdraw", data=values | {"confirm": "sea"}).status_code == 422
    assert [dict(one.arguments) for one in made.works.begun] == [{"name": "see", "version": "1", "why": "old"}]


def test_the_outer_site_says_which_device_stands_where_and_asks_those_that_are_shown(sites: Crossed) -> None:
    alone = page(client(sites.tomls[1]), "/galleries/models")
    assert "only the device knows" in alone
    assert "all that was sent is here" in alone
    assert "handheld" in alone
    beside = page(client(sites.tomls[1], sites.tomls[2]), "/galleries/models")
    assert "only the device knows" not in beside
    assert "in use" in beside


def test_a_device_goes_back_and_tries_again(sites: Crossed) -> None:
    text = page(client(sites.tomls[2]), "/galleries/models")
    assert "in use" in text and "earlier" in text
    for command in ("device rollback see", "device models --retry see", "device files see FOLDER", "device run"):
        assert command in text
    here(sites.device, "device", "rollback", "see")
    try:
        after = page(client(sites.tomls[2]), "/galleries/models")
    finally:
        here(sites.device, "device", "models", "--retry", "see")
    assert "passed over" in after and "rolled back" in after


def test_a_models_shelf_is_called_a_model_among_what_devices_get(sites: Crossed) -> None:
    browser = client(sites.tomls[1])
    assert "model see" in page(browser, "/galleries/devices")
    assert 'href="/galleries/models#model-see"' in page(browser, "/galleries/devices/handheld")


@pytest.mark.parametrize("role", list(Role))
def test_gates_of_environments_are_shown_at_either_side_and_to_each_role(gated: Gated, role: Role) -> None:
    for folder in ends(gated):
        assert ">north<" in page(client(folder / "isthmus.toml", role=role), "/acquire/gates")


def test_the_gate_says_what_is_missing_waits_and_was_set_aside_and_asks_for_it(gated: Gated) -> None:
    office, agent = (folder / "isthmus.toml" for folder in ends(gated))
    text = page(client(office, agent), "/acquire/gates")
    line = here(gated.hub.folder, "acquire", "gate", "request").stdout.strip()
    assert line and line in unescape(text)
    assert "got-north-000001-000000000003.tar" in text, "staged"
    assert "got-north-000001-000000000002.tar" in text, "set aside"
    assert "altered on its way" in text
    assert "changes are missing" in text
    for words in ("dismiss --environment north got-north", "request --environment north --snapshot"):
        assert f"acquire gate {words}" in text
    assert "acquire gate resend --environment north LINE" in text
    browser = client(office, agent)
    other = page(browser, "/acquire/gates?site=agent")
    assert "Results, sent from here" in other
    assert '<form class="act"' not in other


def test_gates_are_offered_only_where_there_is_one(gated: Gated, tmp_path: Path) -> None:
    toml = asked(tmp_path / "hub")
    assert "/acquire/gates" not in page(client(toml), "/acquire")
    assert "No environment here is reached through a gate" in page(client(toml), "/acquire/gates")
    assert "/acquire/gates" in page(client(gated.hub.folder / "isthmus.toml"), "/acquire")
