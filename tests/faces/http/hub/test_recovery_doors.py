from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hub_making import made_hub
from isthmus.app.people.person import Role
from isthmus.faces.console.application import site_application
from pair_pages import pages_of, pair_with_rounds
from recovery_sites import Site


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Site]:
    return pair_with_rounds(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def client(sites: tuple[Site, Site], tmp_path: Path) -> TestClient:
    north, south = sites
    return TestClient(site_application(pages_of(north, tmp_path, Role.VIEWER, [south]).hub))


def test_the_pair_is_told_as_it_stands_at_either_site(client: TestClient) -> None:
    own, other = client.get("/v1/recovery").json(), client.get("/v1/recovery?site=south").json()
    assert (own["role"], other["role"]) == ("primary", "standby")
    assert own["shows"] == other["shows"] != ""
    assert client.get("/v1/recovery?site=east").status_code == 404


def test_rounds_come_newest_first_in_pages(client: TestClient) -> None:
    found, after = [], ""
    while True:
        page = client.get("/v1/recovery/rounds", params={"limit": 1, "after": after}).json()
        found += [one["key"] for one in page["items"]]
        after = page["next"]
        if not after:
            break
    whole = client.get("/v1/recovery/rounds").json()["items"]
    assert found == [one["key"] for one in whole]
    assert found == sorted(found, reverse=True)
    assert len(found) == len(set(found)) >= 2
    assert client.get("/v1/recovery/rounds?after=nonsense").status_code == 422


def test_publications_and_tables_are_listed(client: TestClient) -> None:
    assert client.get("/v1/recovery/publications").json()["items"] == [{"name": "disaster", "objects": ["*"]}]
    tables = client.get("/v1/recovery/tables?site=south").json()["items"]
    assert [(one["name"], one["rows"]) for one in tables] == [("main.bank.payees", 0), ("main.bank.payers", 3)]


def test_what_a_change_of_role_needs_is_told_before_anybody_orders_it(client: TestClient) -> None:
    assert client.get("/v1/recovery/acts/switchover").json()["possible"]
    assert not client.get("/v1/recovery/acts/failover").json()["possible"]
    assert client.get("/v1/recovery/acts/failover?site=south").json()["possible"]
    assert client.get("/v1/recovery/acts/other").status_code == 404


def test_the_overview_joins_both_sites(client: TestClient) -> None:
    seen = client.get("/v1/overview").json()
    assert [one["name"] for one in seen["sites"]] == ["north", "south"]
    (flow,) = seen["flows"]
    assert (flow["boundary"], flow["source"], flow["target"], flow["far"]) == ("recovery", "north", "south", "")


def test_a_site_without_recovery_says_what_to_add(tmp_path: Path) -> None:
    answer = TestClient(site_application(made_hub(tmp_path).hub)).get("/v1/recovery")
    assert answer.status_code == 422
    assert "has no [recovery]" in answer.json()["detail"]
