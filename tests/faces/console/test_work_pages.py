from __future__ import annotations

import re
from pathlib import Path

import pytest

from hub_making import TOKEN, flaws, made_hub
from isthmus.app.people.person import Person, Role
from isthmus.core.progress import Progress

ADA = Person("ada", Role.ADMIN, "session")
BOB = Person("bob", Role.ADMIN, "session")


def test_a_work_that_runs_shows_how_far_it_is_and_draws_itself_anew_until_it_ended(tmp_path: Path) -> None:
    made = made_hub(tmp_path)
    work = made.works.start("recovery drill", {}, ADA)
    made.works.become(work.id, progress=Progress("copying", 3, 12, "files", "of main.bank"))
    row = made.client().get("/works/w1/row", headers={"HX-Request": "true"}).text
    assert flaws(row) == []
    assert 'value="0.2500"' in row
    assert "copying 3 / 12 files" in row
    assert 'hx-get="/works/w1/row"' in row
    assert 'action="/works/w1/cancel"' in row
    made.works.become(work.id, state="done", ended=work.begun, files=("drill report.json",), said="restored")
    row = made.client().get("/works/w1/row").text
    assert "hx-get" not in row
    assert "cancel" not in row
    assert 'href="/v1/works/w1/files/drill%20report.json"' in row
    assert "restored" in row


@pytest.mark.parametrize("state", ["waiting", "running", "done", "failed", "cancelled", "lost"])
def test_each_state_has_a_row(tmp_path: Path, state: str) -> None:
    made = made_hub(tmp_path)
    made.works.start("recovery verify", {}, ADA)
    made.works.become("w1", state=state, error="<it> & failed" if state == "failed" else "")
    row = made.client().get("/works").text
    assert flaws(row) == []
    assert f'data-state="{state}"' in row
    assert "<it>" not in row


def test_works_come_in_pages_that_neither_repeat_nor_leave_one_out(tmp_path: Path) -> None:
    made = made_hub(tmp_path)
    for _ in range(120):
        made.works.start("recovery verify", {}, ADA)
    client, place, found = made.client(), "/works", []
    while place:
        page = client.get(place).text
        found += re.findall(r'<article class="work" id="work-(w\d+)"', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        place = following[1].replace("&amp;", "&") if following else ""
    assert found == [f"w{number}" for number in range(120, 0, -1)]


def test_a_work_is_cancelled_from_its_row_with_the_sessions_token_alone(tmp_path: Path) -> None:
    made = made_hub(tmp_path)
    made.works.start("recovery backup", {}, ADA)
    client = made.client()
    assert client.post("/works/w1/cancel").status_code == 403
    assert made.works.get("w1").state == "running"
    row = client.post("/works/w1/cancel", data={"csrf": TOKEN}, headers={"HX-Request": "true"})
    assert 'data-state="cancelled"' in row.text
    assert client.post("/works/w1/cancel", data={"csrf": TOKEN}).headers["location"] == "/works/w1"


def test_what_a_work_told_is_seen_by_those_who_could_have_run_it(tmp_path: Path) -> None:
    made = made_hub(tmp_path, Role.VIEWER)
    made.works.start("recovery backup", {"full": True}, BOB)
    made.works.become("w1", said="a secret", error="another secret", files=("secret.txt",))
    for place in ("/works", "/works/w1", "/works/w1/row"):
        page = made.client().get(place)
        assert page.status_code == 200
        assert "recovery backup" in page.text
        assert "secret" not in page.text


def test_a_button_begins_its_operation_and_answers_with_the_row(tmp_path: Path) -> None:
    made = made_hub(tmp_path)
    client = made.client()
    row = client.post("/act/recovery-verify", data={"csrf": TOKEN, "rows": "true"}, headers={"HX-Request": "true"})
    assert row.status_code == 200
    assert 'id="work-w1"' in row.text
    assert made.works.begun[0].arguments == {"rows": "true"}


def test_there_is_a_page_that_says_that_a_work_is_not_there(tmp_path: Path) -> None:
    answer = made_hub(tmp_path).client().get("/works/none")
    assert answer.status_code == 404
    assert flaws(answer.text) == []
