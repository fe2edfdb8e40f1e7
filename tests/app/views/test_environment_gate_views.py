"""The gates of environments as plain values: what was sent, what came, what is missing and what was set aside."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from acquire_gates import Gated
from asked_images import asked
from gallery_sites import here
from gated_hub import ends, gated_hub
from isthmus.app.views.environmentgates import gated, gates_of_environments
from isthmus.app.views.overview import overview_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Gated:
    folder = tmp_path_factory.mktemp("gates") / "hub"
    asked(folder)
    return gated_hub(folder)


def test_the_servers_side_tells_what_is_missing_and_how_to_ask_for_it(made: Gated) -> None:
    (gate,) = gates_of_environments(made.hub.folder / "isthmus.toml")
    assert (gate.environment, gate.serving, gate.begun, gate.problem) == ("north", True, True, "")
    assert gate.sending is not None and gate.receiving is not None
    assert gate.sending.head is not None
    assert (gate.sending.head.seq, gate.sending.waiting, gate.under_way) == (1, 0, 1)
    assert gate.receiving.standing is not None
    assert (gate.receiving.standing.seq, gate.receiving.lag) == (1, 2)
    assert [(one.since, one.until) for one in gate.receiving.missing] == [(1, 2)]
    assert [one.kind for one in gate.receiving.staged] == ["increment"]
    assert gate.receiving.heard is not None
    assert gate.receiving.request == here(made.hub.folder, "acquire", "gate", "request").stdout.strip()
    assert {one.kind for one in gate.alarms} == {"GAP", "TAMPERED"}
    assert [(one.kind, one.times, one.healed) for one in gate.aside] == [("TAMPERED", 1, False)]


def test_the_agents_side_tells_of_results_that_nobody_has_confirmed(made: Gated) -> None:
    (gate,) = gates_of_environments(made.agent.folder / "isthmus.toml")
    assert (gate.serving, gate.under_way, gate.aside) == (False, 3, ())
    assert gate.receiving is not None
    assert gate.receiving.standing is None


def test_the_overview_joins_both_sides_and_tells_the_alarms_once(made: Gated) -> None:
    tomls = [folder / "isthmus.toml" for folder in ends(made)]
    seen = overview_of(tomls, datetime.now(UTC))
    hub, agent = seen.sites
    assert [one.kind for one in hub.alarms] == ["GAP", "TAMPERED"]
    assert all("isthmus acquire gate request" in one.hint for one in hub.alarms if one.kind == "GAP")
    assert (hub.health, agent.alarms) == ("alarm", ())
    (flow,) = (one for one in seen.flows if one.boundary == "acquire-gate")
    assert (flow.source, flow.target, flow.health) == (agent.name, hub.name, "alarm")


def test_a_side_that_has_not_begun_is_shown_so_and_nothing_is_made_for_it(made: Gated, tmp_path: Path) -> None:
    site = tmp_path / "copy"
    site.mkdir()
    shutil.copy(made.hub.folder / "isthmus.toml", site)
    (gate,) = gates_of_environments(site / "isthmus.toml")
    assert (gate.begun, gate.sending, gate.problem) == (False, None, "")
    assert [file.name for file in site.iterdir()] == ["isthmus.toml"]


def test_a_key_that_is_gone_is_told(made: Gated, tmp_path: Path) -> None:
    site = tmp_path / "hub"
    shutil.copytree(made.hub.folder, site)
    (site / "office.pem").unlink()
    (gate,) = gates_of_environments(site / "isthmus.toml")
    assert "there is no signing key" in gate.problem


def test_a_site_without_such_gates_has_none(tmp_path: Path) -> None:
    toml = asked(tmp_path / "hub")
    assert (gated(toml), gates_of_environments(toml)) == (False, ())
    toml.write_text("[acquire\n")
    assert not gated(toml)
