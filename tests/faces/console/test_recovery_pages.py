from __future__ import annotations

import html
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hub_making import TOKEN, flaws
from isthmus.app.people.person import Role
from isthmus.app.views.recovery import publications_of, recovery_of, rounds_of, tables_of
from pair_pages import pages_of, pair_with_rounds
from recovery_sites import Site


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Site]:
    return pair_with_rounds(tmp_path_factory.mktemp("pair"))


def test_both_sites_are_seen_as_they_stand(sites: tuple[Site, Site]) -> None:
    north, south = (recovery_of(site.folder / "isthmus.toml") for site in sites)
    assert (north.role, south.role, north.peer) == ("primary", "standby", "south")
    assert north.shows == south.shows != ""
    assert north.other is not None
    assert (north.other.role, north.other.barrier) == ("standby", north.shows)
    assert [(one.name, one.rows) for one in north.tables] == [("main.bank.payees", 0), ("main.bank.payers", 3)]
    assert [one.rows for one in south.tables] == [0, 3]
    assert north.publications[0].objects == ("*",)
    assert {one.action for one in north.rounds} == {"backup"}
    assert {one.action for one in south.rounds} == {"restore"}
    assert {one.key for one in north.rounds} >= {one.key for one in south.rounds}
    assert all(one.seconds is not None and one.seconds >= 0 for one in south.rounds)
    assert north.alarms == south.alarms == ()
    assert north.flaws == south.flaws == ()


def test_lists_are_those_of_the_whole(sites: tuple[Site, Site]) -> None:
    toml = sites[0].folder / "isthmus.toml"
    seen = recovery_of(toml)
    assert tuple(rounds_of(toml)) == seen.rounds
    assert tuple(publications_of(toml)) == seen.publications
    assert tuple(tables_of(toml)) == seen.tables


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("number", [0, 1])
def test_the_page_shows_the_pair_at_either_site(
    sites: tuple[Site, Site], tmp_path: Path, number: int, language: str
) -> None:
    made = pages_of(sites[number], tmp_path)
    page = made.client(cookies={"language": language}).get("/recovery")
    assert page.status_code == 200
    assert flaws(page.text) == []
    assert "main.bank.payers" in page.text
    assert recovery_of(made.hub.toml).shows in page.text
    assert ("/recovery/switchover" in page.text) == (number == 0)
    assert ("/recovery/failover" in page.text) == (number == 1)
    assert "data-chart=" in page.text


def test_a_site_without_recovery_says_so(tmp_path: Path) -> None:
    from hub_making import made_hub

    page = made_hub(tmp_path).client().get("/recovery")
    assert page.status_code == 200
    assert "has no [recovery]" in page.text


def test_a_site_that_trusts_nobody_yet_shows_what_to_do(tmp_path: Path) -> None:
    from recovery_sites import pair

    north, _ = pair(tmp_path / "pair")
    north.trusted = []
    north.write()
    page = pages_of(north, tmp_path / "pages").client().get("/recovery")
    assert page.status_code == 200
    assert "trusts no key" in page.text


def begin(client: TestClient, act: str, **fields: str) -> tuple[int, str]:
    answer = client.post(f"/recovery/{act}", data={"csrf": TOKEN, **fields})
    return answer.status_code, answer.headers.get("location", "") or html.unescape(answer.text)


def test_the_guide_shows_checks_loss_word_and_command(sites: tuple[Site, Site], tmp_path: Path) -> None:
    made = pages_of(sites[0], tmp_path)
    page = made.client().get("/recovery/switchover")
    assert flaws(page.text) == []
    assert page.text.count('data-verdict="well"') >= 6
    assert 'data-verdict="wrong"' not in page.text
    assert 'pattern="south"' in page.text
    assert "recovery switchover</code>" in page.text
    assert made.works.begun == []


def test_a_change_of_role_begins_only_with_the_typed_word(sites: tuple[Site, Site], tmp_path: Path) -> None:
    made = pages_of(sites[0], tmp_path)
    client = made.client()
    for wrong in ({}, {"confirm": ""}, {"confirm": "South"}, {"confirm": "north"}):
        status, text = begin(client, "switchover", **wrong)
        assert status == 422
        assert "Nothing was done" in text
    assert client.post("/recovery/switchover", data={"confirm": "south"}).status_code == 403
    assert made.works.begun == []
    status, place = begin(client, "switchover", confirm="south")
    assert (status, place) == (303, "/recovery/switchover?work=w1")
    assert [work.operation for work in made.works.begun] == ["recovery switchover"]


def test_a_change_of_role_that_a_check_forbids_does_not_begin(sites: tuple[Site, Site], tmp_path: Path) -> None:
    made = pages_of(sites[1], tmp_path)
    page = made.client().get("/recovery/switchover").text
    assert 'data-verdict="wrong"' in page
    assert '<button class="danger" disabled>' in page
    assert begin(made.client(), "switchover", confirm="north")[0] == 403
    assert made.works.begun == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_an_admin_changes_roles(sites: tuple[Site, Site], tmp_path: Path, role: Role) -> None:
    made = pages_of(sites[1], tmp_path, role)
    page = made.client().get("/recovery/failover")
    assert page.status_code == 200
    assert '<button class="danger" disabled>' in page.text
    assert begin(made.client(), "failover", confirm="south")[0] == 403
    assert made.works.begun == []


def test_the_guide_goes_on_with_the_work_to_its_end(sites: tuple[Site, Site], tmp_path: Path) -> None:
    made = pages_of(sites[1], tmp_path)
    client = made.client()
    _, place = begin(client, "failover", confirm="south")
    going = client.get(place).text
    assert flaws(going) == []
    assert "every 2s" in going
    assert 'name="confirm"' not in going
    made.works.become("w1", state="done", ended=made.works.begun[0].begun, said="it goes on from there")
    ended = client.get(place).text
    assert flaws(ended) == []
    assert "5 · How it ended" in ended
    assert "it goes on from there" in ended
    made.works.become("w1", state="failed", error="no round had come whole")
    failed = client.get(place).text
    assert "no round had come whole" in failed
    assert "did not end well" in failed


def test_a_guide_shows_no_work_of_another_kind(sites: tuple[Site, Site], tmp_path: Path) -> None:
    made = pages_of(sites[0], tmp_path)
    assert made.guard.person is not None
    made.works.start("recovery verify", {}, made.guard.person)
    assert made.client().get("/recovery/switchover?work=w1").status_code == 404
    assert made.client().get("/recovery/switchover?work=none").status_code == 404
    assert made.client().get("/recovery/no-such-act").status_code == 404


def test_what_was_proven_is_shown_newest_of_each_kind(sites: tuple[Site, Site], tmp_path: Path) -> None:
    made = pages_of(sites[1], tmp_path)
    assert made.guard.person is not None
    for name in ("recovery verify", "recovery drill", "recovery verify"):
        made.works.start(name, {}, made.guard.person)
    page = made.client().get("/recovery").text
    assert 'id="work-w3"' in page
    assert 'id="work-w2"' in page
    assert 'id="work-w1"' not in page
    assert flaws(page) == []


def test_the_overview_draws_the_pair_as_one_line_between_two_boxes(
    sites: tuple[Site, Site], tmp_path: Path
) -> None:
    north, south = sites
    page = pages_of(north, tmp_path, Role.VIEWER, [south]).client().get("/")
    assert page.status_code == 200
    assert flaws(page.text) == []
    assert page.text.count('class="line recovery') == 1
    assert page.text.count('<g class="site') == 2
    assert '<h2 id="name-1">north' in page.text
    assert '<h2 id="name-2">south' in page.text


def test_another_site_is_shown_and_not_changed_from_here(sites: tuple[Site, Site], tmp_path: Path) -> None:
    north, south = sites
    client = pages_of(north, tmp_path, others=[south]).client()
    page = client.get("/recovery?site=south").text
    assert flaws(page) == []
    assert "changed at its own console" in page
    assert "/act/" not in page
    assert "/recovery/failover" not in page
    assert 'hx-get="/recovery?site=south"' in page
    assert client.get("/recovery?site=east").status_code == 404
