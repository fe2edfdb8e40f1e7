"""The doors of scenes, SQL, runs and models: answers are of the type they declare, and mistakes are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from starlette.testclient import TestClient

from hub_making import TOKEN, Made, made_hub
from isthmus.app.people.person import Role
from isthmus.faces.http.doors import JSON
from isthmus.faces.http.hub.application import application
from isthmus.faces.http.hub.resources import runs as run_doors
from isthmus.faces.http.hub.resources import scenes as scene_doors
from loop_site import CARS, Runs, made_runs, ready_site

FIRST = "cars.20261120.drive-000.0.0"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ready_site(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def runs(toml: Path) -> Runs:
    return made_runs(toml)


@pytest.fixture
def made(toml: Path) -> Made:
    return made_hub(toml.parent, Role.VIEWER, toml)


@pytest.fixture
def client(made: Made) -> TestClient:
    return TestClient(application(made.hub), headers={"x-csrf-token": TOKEN}, raise_server_exceptions=False)


def test_every_answer_is_of_the_declared_type(made: Made, client: TestClient, runs: Runs) -> None:
    places = {"{scene:path}": FIRST, "{run}": runs.kept, "{model}": runs.champion}
    seen = 0
    for door in [*scene_doors.doors(made.hub), *run_doors.doors(made.hub)]:
        kind = door.good[200].get(JSON)
        if door.method != "GET" or kind is None:
            continue
        path = door.path
        for place, value in places.items():
            path = path.replace(place, value)
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        msgspec.json.decode(answer.content, type=kind)
        seen += 1
    assert seen == 13


def test_lists_go_on_where_they_ended(client: TestClient, runs: Runs) -> None:
    for path, key, whole in (
        ("/v1/scenes?order=-ttc_min_s&source=cars", "scene_id", CARS),
        ("/v1/runs", "id", 3),
        ("/v1/models", "id", 2),
        ("/v1/rules", "name", 12),
        ("/v1/tables", "name", 2),
    ):
        found: list[Any] = []
        after = ""
        while True:
            mark = "&" if "?" in path else "?"
            page = client.get(
                f"{path}{mark}limit=1&after={after}" if whole < 20 else f"{path}{mark}limit=9&after={after}"
            ).json()
            found += [row[key] for row in page["items"]]
            after = page["next"]
            if not after:
                break
        assert len(found) == len(set(found)) == whole


def test_scenes_are_filtered_by_every_parameter(client: TestClient) -> None:
    query = {
        "named": "cars.",
        "source": "cars",
        "day_from": "2026-11-01",
        "day_to": "2026-11-30",
        "rule": "slow",
        "set": "slow.speed=9.5",
        "where": "agents > 2",
        "order": "-speed_mean",
        "columns": "speed_mean,agents",
    }
    told = client.get("/v1/scenes", params=query).json()
    speeds = [row["speed_mean"] for row in told["items"]]
    assert speeds
    assert speeds == sorted(speeds, reverse=True)
    assert max(speeds) < 9.5
    assert list(told["items"][0]) == ["scene_id", "speed_mean", "agents"]
    counted = client.get("/v1/rules/count", params={name: query[name] for name in ("rule", "set", "where")}).json()
    assert counted["found"] >= told["matched"] == len(speeds)


def test_free_sql_is_a_question_that_only_who_asked_sees_again(client: TestClient) -> None:
    answer = client.post("/v1/sql", json={"sql": "SELECT count(*) AS n FROM scenes WHERE source = 'cars'"})
    assert (answer.status_code, answer.json()["rows"]) == (200, [[CARS]])
    refused = client.post("/v1/sql", json={"sql": "DROP TABLE scenes"})
    assert (refused.status_code, refused.headers["content-type"]) == (422, PROBLEM)
    assert "no plain read" in refused.json()["detail"]
    past = client.get("/v1/sql/history?limit=1").json()
    assert past["items"][0]["sql"] == "DROP TABLE scenes"
    assert client.get(f"/v1/sql/history?limit=1&after={past['next']}").json()["items"][0]["rows"] == 1
    assert client.delete("/v1/sql/history").json() == {"forgotten": 2}
    assert client.get("/v1/sql/history").json() == {"items": [], "next": ""}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/scenes/nosuch", 404),
        (f"/v1/scenes/{quote('../../etc/passwd', safe='')}", 404),
        (f"/v1/scenes/{quote('a/b', safe='')}/drawing", 404),
        ("/v1/scenes/nosuch/similar", 404),
        (f"/v1/scenes/{FIRST}/similar?count=0", 422),
        ("/v1/scenes?table=nosuch", 404),
        ("/v1/scenes?where=nosuch%20%3E%201", 422),
        ("/v1/scenes?where=%00", 422),
        ("/v1/scenes?rule=1%3D1%20or", 422),
        ("/v1/scenes?set=gap", 422),
        ("/v1/scenes?day_from=yesterday", 422),
        ("/v1/scenes?order=vector", 422),
        ("/v1/scenes?columns=complex", 404),
        ("/v1/scenes?limit=0", 422),
        ("/v1/scenes?after=!!!", 422),
        ("/v1/scenes?after=WzEsMiwzLDRd", 422),
        ("/v1/scenes?after=e30", 422),
        ("/v1/scenes?nosuch=1", 422),
        ("/v1/rules/count?rule=nosuch", 422),
        ("/v1/runs/nosuch", 404),
        ("/v1/runs/nosuch/report", 404),
        ("/v1/runs?pipeline=nosuch", 404),
        ("/v1/runs?after=WzFd", 422),
        ("/v1/models/nosuch", 404),
        ("/v1/models?pipeline=nosuch", 404),
    ],
)
def test_a_mistake_is_told_as_a_problem(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    assert answer.json()["detail"]


def test_the_report_is_sent_to_be_kept(client: TestClient, runs: Runs) -> None:
    answer = client.get(f"/v1/runs/{runs.kept}/report")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    assert client.get(f"/v1/runs/{runs.training}/report").status_code == 404


def test_nobody_sees_anything_without_being_known(toml: Path) -> None:
    made = made_hub(toml.parent, None, toml)
    client = TestClient(application(made.hub), raise_server_exceptions=False)
    for door in [*scene_doors.doors(made.hub), *run_doors.doors(made.hub)]:
        path = door.path.replace("{scene:path}", FIRST).replace("{run}", "x").replace("{model}", "x")
        assert client.request(door.method, path, json={"sql": "SELECT 1"}).status_code == 401
