"""Some hundred calls made up from the description of the API: none is an error of the server, none surprises."""

from __future__ import annotations

from pathlib import Path

from api_trying import tried
from hub_serving import serving
from isthmus.app.people.person import Role
from isthmus.faces.cli.catalogue import recipes

CALLS, DOORS = 150, 15
QUICK = ("/bin/true",)
"""Stands for the command line: what operations do is not tried here."""


def test_calls_by_the_description_are_answered_as_it_says(tmp_path: Path) -> None:
    with serving(tmp_path, recipes=recipes, program=QUICK) as served:
        told = tried(served.url, served.keys[Role.ADMIN], CALLS, number=17, most_doors=DOORS)
    print(f"{told.calls} calls: {dict(told.statuses)}")
    assert told.failures == []
    assert told.calls >= CALLS // 3
    assert max(told.statuses) < 500
