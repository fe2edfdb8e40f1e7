"""The commands in sentences that take long: whole sites, a run that was killed, a story; typed as they stand."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest

from crossed_galleries import photo
from gallery_sites import here, until
from page_worlds import change, comes_up
from prose_trying import Trial, trying
from traffic import site_with_a_day

pytestmark = pytest.mark.soak


def test_whole_sites_come_up_as_the_pages_say(tmp_path: Path) -> None:
    inner, road = tmp_path / "inner", tmp_path / "road"
    here(tmp_path, "init", str(inner), "--role", "inner")
    (inner / "gate").mkdir()
    here(inner, "gate", "keys")
    change(inner / "isthmus.toml", ('format = "tar" ', 'cut_s = 0\nformat = "tar" '))
    change(site_with_a_day(road), more='\n[console]\nport = 0\nsites = ["../inner"]\n')
    (tmp_path / "photo.jpg").write_bytes(photo(1))
    with trying("whole sites", tmp_path) as say:
        say("isthmus --site inner up", stays="gate-send")
        comes_up(inner)
        here(inner, "gallery", "add", "staff", "ann", str(tmp_path / "photo.jpg"))
        until(
            lambda: list((inner / "gate").glob("galleries-*.tar")), "all that its TOML asks for runs: it is sent"
        )
        say("isthmus --site road up", stays=r"http://127\.0\.0\.1:\d+")
        comes_up(road)
        assert "test" in _page(say) and "isthmus" in _page(say).lower()
        say.reader.end("isthmus --site road up")
        say.reader.end("isthmus --site inner up")


def _page(say: Trial) -> str:
    """Return what the address that a whole site printed shows to anybody."""
    log = next(one.log for one in say.reader.running if "road" in one.line).read_text()
    address = re.findall(r"http://127\.0\.0\.1:\d+", log)[0]
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=30) as answer:
        return str(answer.read().decode())


def test_a_run_that_was_killed_goes_on_as_the_page_says(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site_with_a_day(site)
    with trying("killed run", tmp_path) as say:
        say.also("isthmus loop run", at="site", stays=r'"stage": "train"')
        say.reader.end("isthmus loop run", lost=True)
        (row,) = say.also("isthmus loop list", at="site").splitlines()[1:]
        run = row.split("\t")[0]
        assert "released" not in row
        say("isthmus loop resume RUN", {"RUN": run}, at="site")
        assert re.search(rf"^{run}\t.*released", say.also("isthmus loop list", at="site"), re.MULTILINE)


def test_acquiring_is_told_as_the_page_says(tmp_path: Path) -> None:
    with trying("acquiring told", tmp_path) as say:
        say.reader.env["ISTHMUS_SAMPLES"] = str(tmp_path / "nowhere")
        said = say("isthmus demo --only acquire", says="48 of 48: each told once")
        for environment in ("video", "intranet"):
            assert f"of {environment}" in said
