"""The pages of scenes and runs: well formed in both languages, harmless with hostile input."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hub_making import TOKEN, Made, flaws, made_hub
from isthmus.app.people.person import Role
from isthmus.app.views.scene import draw
from isthmus.faces.console.drawing import picture_of
from loop_site import CARS, Runs, made_runs, ready_site

FIRST = "cars.20261120.drive-000.0.0"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ready_site(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def runs(toml: Path) -> Runs:
    return made_runs(toml)


def site(toml: Path, role: Role | None = Role.OPERATOR) -> tuple[Made, TestClient]:
    made = made_hub(toml.parent, role, toml)
    return made, made.client()


def page(client: TestClient, path: str, status: int = 200, **headers: str) -> str:
    answer = client.get(path, headers=headers)
    assert answer.status_code == status, answer.text
    assert flaws(answer.text) == []
    assert len(answer.content) < 150_000
    return answer.text


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("role", list(Role))
def test_every_page_is_well_formed_for_each_role_and_language(
    toml: Path, runs: Runs, role: Role, language: str
) -> None:
    _, client = site(toml, role)
    for path in (
        "/scenes",
        "/scenes?rule=slow&set.speed=9&where=agents+%3E+2&order=speed_mean&descending=yes",
        "/scenes?table=rejects",
        "/scenes/rules",
        "/scenes/rules/count?rule=slow",
        "/scenes/sql",
        f"/scenes/one/{FIRST}",
        f"/scenes/one/{FIRST}?step=3",
        "/runs",
        "/runs/models",
        f"/runs/one/{runs.released}",
        f"/runs/one/{runs.kept}",
        f"/runs/one/{runs.training}",
        f"/runs/one/{runs.training}/progress",
        f"/runs/one/{runs.training}/curves",
        f"/runs/models/{runs.champion}",
        f"/runs/models/{runs.rejected}",
    ):
        text = page(client, path, **{"accept-language": language})
        if "<html" in text:
            assert ("场景" in text) is (language == "zh")


def test_the_list_links_to_each_scene_and_goes_on(toml: Path) -> None:
    _, client = site(toml)
    text = page(client, "/scenes?source=cars&order=speed_mean")
    first = re.findall(r'href="/scenes/one/([^"]+)"', text)
    assert len(first) == 50
    (more,) = re.findall(r'rel="next" href="([^"]+)"', text)
    second = re.findall(r'href="/scenes/one/([^"]+)"', page(client, html.unescape(more)))
    assert len({*first, *second}) == CARS


def test_saving_as_an_id_list_is_the_command_that_mines(toml: Path) -> None:
    made, client = site(toml)
    text = page(client, "/scenes?rule=slow&set.speed=9&source=cars&agents.min=3")
    command = html.unescape(text)
    assert "mine" in command
    assert "slow" in command
    for name, value in (("rule", "slow"), ("set", "speed=9"), ("where", "source = 'cars' AND agents >= 3.0")):
        assert (
            f'<input type="hidden" name="{name}" value="{html.escape(value)}">'.replace("&#x27;", "&#39;").replace(
                "&gt;", "&gt;"
            )
            in text
        )
    assert 'action="/act/mine"' in text
    assert made.works.begun == []
    assert "disabled" in page(client, "/scenes").partition('action="/act/mine"')[2].partition("</form>")[0]


def test_a_filter_that_means_nothing_is_told_beside_what_was_typed(toml: Path) -> None:
    _, client = site(toml)
    for query in ("where=nosuch+%3E+1", "rule=nosuch", "day_from=monday", "speed_mean.min=fast", "order=vector"):
        text = page(client, f"/scenes?{query}", 422)
        assert 'role="alert"' in text
        part = page(client, f"/scenes?{query}", **{"hx-request": "true"})
        assert 'role="alert"' in part
        assert "<html" not in part


@pytest.mark.parametrize(
    "name", ["named", "source", "tag", "where", "rule", "order", "table", "day_from", "after", "set.x"]
)
def test_hostile_input_is_shown_harmlessly_or_refused(toml: Path, name: str) -> None:
    _, client = site(toml)
    answer = client.get("/scenes", params={name: HOSTILE})
    assert answer.status_code in (200, 404, 422)
    assert flaws(answer.text) == []
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text


def test_what_is_not_there_is_not_found(toml: Path, runs: Runs) -> None:
    _, client = site(toml)
    for path in (
        "/scenes/one/nosuch",
        "/scenes/one/..%2F..%2Fetc%2Fpasswd",
        "/scenes/sql?again=99999",
        "/runs/one/nosuch",
        "/runs/one/nosuch/progress",
        f"/runs/one/{runs.training}/report",
        "/runs/models/nosuch",
        "/runs?pipeline=nosuch",
    ):
        page(client, path, 404)
    assert client.get(f"/scenes/one/{HOSTILE.replace('/', '%2F')}").status_code == 404


def test_a_statement_is_run_remembered_and_forgotten(toml: Path) -> None:
    _, client = site(toml)
    assert client.post("/scenes/sql", data={"sql": "SELECT 1"}).status_code == 403, "without the session's token"
    asked = client.post(
        "/scenes/sql", data={"sql": "SELECT source, '<b>' AS b FROM scenes LIMIT 1", "csrf": TOKEN}
    )
    assert asked.status_code == 200
    assert flaws(asked.text) == []
    assert "&lt;b&gt;" in asked.text
    refused = client.post("/scenes/sql", data={"sql": "DROP TABLE scenes", "csrf": TOKEN})
    assert refused.status_code == 422
    assert "no plain read" in refused.text
    (again, *_) = re.findall(r'href="(/scenes/sql\?again=\d+)"', refused.text)
    assert "DROP TABLE scenes</textarea>" in page(client, again)
    assert client.post("/scenes/sql/forget", data={"csrf": TOKEN}).status_code == 303
    assert "again=" not in page(client, "/scenes/sql")


def test_rules_are_counted_anew_with_what_is_typed(toml: Path) -> None:
    _, client = site(toml)
    assert "slow" in page(client, "/scenes/rules")
    none = page(client, "/scenes/rules/count?rule=slow&set.speed=0")
    assert "<b>0</b>" in none
    everything = page(client, "/scenes/rules/count?rule=slow&set.speed=1000")
    assert "(100.0 %)" in everything
    assert "must be" in page(client, "/scenes/rules/count?rule=slow&set.speed=fast")


def test_a_scene_is_drawn_at_the_step_that_is_asked_for(toml: Path) -> None:
    _, client = site(toml)
    drawing = draw(toml, FIRST)
    text = page(client, f"/scenes/one/{FIRST}?step=5")
    picture = picture_of(drawing, 5)
    assert f'viewBox="{picture.view}"' in text
    assert text.count('class="agent"') == len(drawing.agents)
    for shape in picture.shapes:
        assert f'transform="{shape.transform}"' in text
    assert 'data-step="5"' in text
    assert f'data-step="{drawing.steps - 1}"' in page(client, f"/scenes/one/{FIRST}?step=999999")
    assert f'data-source="/v1/scenes/{FIRST}/drawing"' in text


def test_a_run_offers_what_can_be_done_with_it(toml: Path, runs: Runs) -> None:
    _, client = site(toml)
    going = page(client, f"/runs/one/{runs.training}")
    assert 'action="/act/loop-resume"' in going
    assert 'action="/act/loop-cancel"' in going
    assert "epoch 3 of 8" in going
    kept = page(client, f"/runs/one/{runs.kept}")
    assert 'action="/act/loop-release"' in kept
    assert "40.0 %" in kept, "the candidate is worse than the champion by so much"
    assert 'href="/scenes/one/cars.20261120.drive-004.0.0?step=45"' in kept
    released = page(client, f"/runs/one/{runs.released}")
    assert "loop-resume" not in released
    champion = page(client, f"/runs/models/{runs.champion}")
    assert 'action="/act/loop-rollback"' in champion
    assert f'pattern="{runs.rejected}"' in page(client, f"/runs/models/{runs.rejected}"), (
        "withdrawing asks for its name"
    )


def test_a_viewer_sees_all_and_changes_nothing(toml: Path, runs: Runs) -> None:
    _, client = site(toml, Role.VIEWER)
    text = page(client, f"/runs/one/{runs.training}")
    for operation in ("loop-resume", "loop-cancel"):
        form = text.partition(f'action="/act/{operation}"')[2].partition("</form>")[0]
        assert "disabled" in form


def test_progress_asks_for_the_whole_page_once_the_run_is_further(toml: Path, runs: Runs) -> None:
    _, client = site(toml)
    here = client.get(f"/runs/one/{runs.training}/progress?state=training")
    assert "hx-refresh" not in here.headers
    assert client.get(f"/runs/one/{runs.training}/progress?state=exporting").headers["hx-refresh"] == "true"


def test_a_site_without_scenes_says_what_to_do(tmp_path: Path) -> None:
    _, client = site_of(tmp_path)
    assert 'action="/act/ingest"' in page(client, "/scenes")
    for path in ("/scenes/rules", "/scenes/sql", "/runs", "/runs/models"):
        page(client, path)
    page(client, f"/scenes/one/{FIRST}", 422)


def site_of(folder: Path) -> tuple[Made, TestClient]:
    made = made_hub(folder, Role.ADMIN)
    return made, made.client()


def test_whoever_is_not_known_is_led_to_the_login(toml: Path) -> None:
    _, client = site(toml, None)
    for path in ("/scenes", "/scenes/sql", f"/scenes/one/{FIRST}", "/runs", "/runs/one/x"):
        answer = client.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=")
