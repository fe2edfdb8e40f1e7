"""Every example of docs/client.md runs, against a real server with real commands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_serving import Served, serving
from isthmus.app.people.person import Role
from isthmus.faces.cli.catalogue import recipes
from isthmus.faces.cli.main import run

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
TOLD = (
    ("is sound",),
    ("done 1 row in answer.csv ('answer.csv',)", '1,"two"', "the same by hand: isthmus --site"),
    (),
    ("gallery",),
    ("viewer query ['sql']", "admin recovery failover []"),
    ("scenes",),
    ("ended done",),
    ("done done", "rules list"),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served") / "site"
    assert run(["init", "--role", "loop", str(folder)]) == 0
    with serving(folder, recipes=recipes, program=(sys.executable, "-m", "isthmus")) as served:
        yield served


def test_all_examples_are_tried() -> None:
    assert len(EXAMPLES) == len(TOLD)


@pytest.mark.parametrize("number", range(len(TOLD)))
def test_an_example_says_what_it_should(
    served: Served,
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = served.keys[Role.ADMIN]
    (tmp_path / "key").write_text(key)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISTHMUS_KEY", key)
    text = EXAMPLES[number].replace("http://127.0.0.1:8480", served.url)
    exec(compile(text, f"example {number} of client.md", "exec"), {"__name__": "example"})
    said = capsys.readouterr().out
    for part in TOLD[number]:
        assert part in said
