from __future__ import annotations

from pathlib import Path

import pytest

from asked_images import asked
from crossed_galleries import crossed
from hub_making import flaws, made_hub
from isthmus.app.clock import SystemClock
from isthmus.app.people.person import Role

HOSTILE = '"><script>alert(1)</script>'


def made_site(folder: Path, name: str, text: str = "") -> Path:
    folder.mkdir(parents=True)
    toml = folder / "isthmus.toml"
    toml.write_text(f"[site]\nname = '{name}'\n{text}")
    return toml


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_boundary_is_drawn_told_and_stands_in_a_table(tmp_path: Path, language: str) -> None:
    galleries = crossed(tmp_path / "galleries")
    galleries.sync()
    clock = SystemClock()
    own, *others = [*galleries.tomls, asked(tmp_path / "hub", clock.now())]
    made = made_hub(tmp_path, Role.VIEWER, own, others, clock)
    page = made.client(cookies={"language": language}).get("/").text
    assert flaws(page) == []
    drawn = page.count('<g class="line ')
    assert page.count('<g class="line gate') == page.count('<g class="line sync') == 1
    assert page.count('<g class="line acquire') == drawn - 2 >= 1
    assert page.count('<path class="barrier"') == 1
    assert '<desc id="sites-about">' in page
    table = page[page.index("<table") : page.index("</table>")]
    assert table.count('<th scope="row">') == drawn


def test_sites_with_hostile_and_equal_names_are_shown_as_what_they_are(tmp_path: Path) -> None:
    tomls = [made_site(tmp_path / f"s{number}", HOSTILE) for number in range(2)]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "isthmus.toml").write_text("[site\n")
    made = made_hub(tmp_path, Role.VIEWER, tomls[0], [tomls[1], broken / "isthmus.toml"])
    page = made.client().get("/")
    assert page.status_code == 200
    assert flaws(page.text) == []
    assert "<script>alert" not in page.text
    assert "not valid TOML" in page.text


def test_a_lone_site_has_a_picture_of_itself(tmp_path: Path) -> None:
    page = made_hub(tmp_path).client().get("/").text
    assert page.count('<g class="site') == 1
    assert "No boundary leads from here" in page
