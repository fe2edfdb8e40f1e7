"""How much a page loads the first time, all counted as it lies in the package: nothing is packed for this."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hub_making import made_hub
from isthmus.faces.console.frame import PAGES

MOST_BYTES = 300_000
_LOADED = re.compile(r'(?:src|href)="(/static/[^"]+)"')
_IMPORTED = re.compile(r"""(?:from|import\()\s*["'](\.{1,2}/[^"']+)["']""")
_LATER = ("uplot.min.js", "uplot.min.css")
"""What a page with a chart loads besides; counted for all."""


def weight(client: TestClient, place: str, static: str) -> int:
    page = client.get(place, follow_redirects=True)
    assert page.status_code == 200, place
    seen, left, total = set[str](), list(_LOADED.findall(page.text)), len(page.content)
    left += [f"{static}/{name}" for name in _LATER]
    while left:
        one = left.pop()
        if one in seen:
            continue
        seen.add(one)
        answer = client.get(one)
        assert answer.status_code == 200, one
        total += len(answer.content)
        if one.endswith(".js"):
            folder = one.rpartition("/")[0]
            left += [f"{folder}/{name.removeprefix('./')}" for name in _IMPORTED.findall(answer.text)]
    return total


@pytest.mark.parametrize("place", [place for _, place, _ in PAGES if place != "/people"])
def test_a_page_with_all_that_it_loads_is_light(tmp_path: Path, place: str) -> None:
    made = made_hub(tmp_path)
    client = made.client()
    if client.get(place).status_code == 404:
        pytest.skip(f"{place} is not there")
    assert weight(client, place, made.frame.static) <= MOST_BYTES
