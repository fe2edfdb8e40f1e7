"""The commands in sentences that take long: whole sites, a run that was killed, a story; typed as they stand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from crossed_galleries import photo
from gallery_sites import environment, here, until
from page_worlds import change, comes_up, learns_little
from pages import ROOT
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
    return _shown(address)


def _shown(address: str) -> str:
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


def test_stories_are_told_as_the_pages_say(tmp_path: Path) -> None:
    with trying("stories", tmp_path) as say:
        say.reader.env["ISTHMUS_SAMPLES"] = str(tmp_path / "nowhere")
        said = say("isthmus demo --only acquire", says="48 of 48: each told once")
        for label in ("video", "intranet"):
            assert f"of {label}" in said
        shutil.rmtree(tmp_path / "demo-site")
        learns_little(tmp_path / "demo-site")
        line = say.put("make demo-serve", make=f"make -f {ROOT}/Makefile {PREPARED}")
        with (tmp_path / "log").open("w") as log:
            telling = subprocess.Popen(
                shlex.split(line), cwd=tmp_path, stdout=log, stderr=log, env=environment() | say.reader.env,
                start_new_session=True,
            )  # fmt: skip
        try:
            told = tmp_path / "log"
            until(lambda: _left_open(told) or telling.poll() is not None, "the console is left open", 600)
            assert "Try next" in told.read_text() and _left_open(told), told.read_text()[-3000:]
            assert "isthmus" in _shown(_left_open(told)).lower()
        finally:
            os.killpg(telling.pid, signal.SIGINT)  # as ctrl-C does, of which make dies itself
            assert telling.wait(120) in (2, -signal.SIGINT)
            until(lambda: _gone(telling.pid), "nothing of it runs on")


PREPARED = f"-o .venv/.ready BIN={Path(sys.executable).parent}"
"""What tells make that its environment is there: the one that runs the test."""


def _gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def _left_open(log: Path) -> str:
    """Return the address that is served once the console is left open, nothing before."""
    told = log.read_text().partition("The console is open over all of these sites")[2]
    return "".join(re.findall(r"serving (http://127\.0\.0\.1:\d+)", told)[:1])


@pytest.mark.skipif(not (Path(sys.executable).parent / "mkdocs").exists(), reason="pip install mkdocs-material")
def test_the_book_is_built_as_readme_md_says(tmp_path: Path) -> None:
    with trying("book", tmp_path) as say:
        shutil.rmtree(ROOT / "build" / "book", ignore_errors=True)
        say.also(say.put("make book", make=f"make {PREPARED}"), at=str(ROOT))
    book = ROOT / "build" / "book"
    assert "isthmus gate request" in (book / "gate.html").read_text()
    assert len(list((book / "reference").rglob("*.html"))) >= 3, "commands, settings and API"
