"""Killed with SIGKILL at moments that nobody chose, again and again: what is reported as done stays done."""

from __future__ import annotations

import datetime
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.app.site import Site
from isthmus.loop.runs.ledger import Ask
from traffic import write_day, write_site

pytestmark = pytest.mark.soak

DAYS = ("2026-11-20", "2026-11-21", "2026-11-22")
KILLS = 25


def killed_after(seconds: float, *words: str) -> int:
    """Run a command line in a process group of its own and kill all of it after a while; returns its exit code."""
    child = subprocess.Popen(
        [sys.executable, "-m", "isthmus", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return child.wait()


def content(site: Site) -> list[tuple[str, float]]:
    """What the warehouse holds; raises where the OLAP, brought level, holds anything else."""
    site.tables.level()
    inside = sorted(
        (row["scene_id"], row["distance_m"])
        for batch in site.tables.scenes.scan(columns=["scene_id", "distance_m"])
        for row in batch.to_pylist()
    )
    asked = site.tables.olap.query("SELECT scene_id, distance_m FROM scenes ORDER BY 1")
    assert inside == list(zip(*(column.to_pylist() for column in asked.columns), strict=True))
    return inside


def test_ingests_killed_at_random_moments_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    draw = random.Random(20261120)
    quiet, victim = tmp_path / "quiet", tmp_path / "victim"
    for folder in (quiet, victim):
        write_site(folder)
        for number, day in enumerate(DAYS[1:], 1):
            write_day(folder, day, range(100 * number, 100 * number + 20))
    for day in DAYS:
        assert killed_after(600, "--site", str(quiet), "ingest", "--source", "cars", "--day", day) == 0
    done: set[str] = set()
    for _ in range(KILLS):
        day = draw.choice(DAYS)
        code = killed_after(
            draw.uniform(1.0, 6.0), "--site", str(victim), "ingest", "--source", "cars", "--day", day
        )
        assert code in (0, -signal.SIGKILL)
        if code == 0:
            done.add(day)
        held = {scene_id.split(".")[1] for scene_id, _ in content(Site.open(victim / "isthmus.toml"))}
        assert {day.replace("-", "") for day in done} <= held, "what was reported as done is there"
    for day in DAYS:
        assert killed_after(600, "--site", str(victim), "ingest", "--source", "cars", "--day", day) == 0
    assert content(Site.open(victim / "isthmus.toml")) == content(Site.open(quiet / "isthmus.toml"))


def test_a_run_killed_at_random_moments_releases_the_model_of_one_that_was_not(tmp_path: Path) -> None:
    draw = random.Random(7)
    quiet, victim = tmp_path / "quiet", tmp_path / "victim"
    for folder in (quiet, victim):
        site = Site.open(write_site(folder))
        site.ingest()(site.source("cars"), datetime.date(2026, 11, 20))
    Site.open(quiet / "isthmus.toml").pipeline("forecast").run("by hand", Ask())
    killed_after(draw.uniform(2.0, 5.0), "--site", str(victim), "loop", "run")
    for _ in range(KILLS):
        runs = Site.open(victim / "isthmus.toml").ledger.runs("forecast")
        if not runs:
            killed_after(draw.uniform(2.0, 5.0), "--site", str(victim), "loop", "run")
        elif runs[0].is_open:
            killed_after(draw.uniform(2.0, 5.0), "--site", str(victim), "loop", "resume", runs[0].id)
    site = Site.open(victim / "isthmus.toml")
    (run,) = site.ledger.runs("forecast")
    run = site.pipeline("forecast").resume(run.id)
    assert run.state == "released"
    digests = []
    for folder in (quiet, victim):
        champion = Site.open(folder / "isthmus.toml").registry.champion("forecast")
        assert champion is not None
        digests.append(champion.card.digests["model.safetensors"])
    assert digests[0] == digests[1]
