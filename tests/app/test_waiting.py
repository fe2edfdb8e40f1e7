"""Waiting for triggers as a real process, whose firing is another one that ends with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gallery_sites import environment, until
from isthmus.faces.cli.main import run
from isthmus.state.store import Store

SITE = """[site]
name = "s"
[pipeline.forecast]
[trigger.minutely]
cron = "* * * * *"
pipeline = "forecast"
"""
HEAVY = {"lance", "pyarrow", "duckdb", "torch"}


def seen(folder: Path) -> datetime | None:
    with Store(folder / "state" / "isthmus.sqlite") as store:
        if not store.rows("SELECT 1 FROM sqlite_master WHERE name = 'schedule'"):
            return None
        rows = store.rows("SELECT seen FROM schedule")
    return datetime.fromisoformat(rows[0]["seen"]) if rows else None


def test_a_missed_trigger_fires_in_a_process_of_its_own_and_sigterm_ends_the_waiting(tmp_path: Path) -> None:
    (tmp_path / "isthmus.toml").write_text(SITE)
    assert (
        run(["--site", str(tmp_path), "loop", "serve", "--once"]) == 0
    )  # seen for the first time: counts from now
    past = datetime.now(UTC) - timedelta(hours=3)
    with Store(tmp_path / "state" / "isthmus.sqlite") as store, store.transaction() as sql:
        sql.execute("UPDATE schedule SET seen = ?", (past.isoformat(),))
    log = tmp_path / "log"
    with log.open("w") as out:
        serving = subprocess.Popen(
            [sys.executable, "-m", "isthmus", "--site", str(tmp_path), "loop", "serve"],
            stdout=out,
            stderr=out,
            env=environment(),
        )
    try:
        until(lambda: (seen(tmp_path) or past) > past, log.read_text())
        assert " trigger minutely" in log.read_text()
        maps = Path(f"/proc/{serving.pid}/maps").read_text()
        assert not [name for name in HEAVY if f"/{name}/" in maps], "what waits is small"
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(60) == 0
    finally:
        serving.kill()
        serving.wait()


def test_what_is_wrong_in_the_toml_ends_the_waiting_before_it_begins(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "isthmus.toml").write_text(SITE.replace('pipeline = "forecast"', 'pipeline = "forecats"'))
    assert run(["--site", str(tmp_path), "loop", "serve"]) == 2
    assert "unknown pipeline 'forecats'" in capfd.readouterr().err
    (tmp_path / "isthmus.toml").write_text('[site]\nname = "s"\n')
    assert run(["--site", str(tmp_path), "loop", "serve"]) == 2
    assert "has no trigger" in capfd.readouterr().err


def test_a_trigger_that_something_holds_stays_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.app import waiting
    from isthmus.core.errors import Busy

    told: list[str] = []
    for code, raises in ((0, False), (1, False), (4, True), (-9, True)):
        monkeypatch.setattr(waiting, "_run", lambda *_, code=code: code)
        if raises:
            with pytest.raises(Busy):
                waiting._fire(tmp_path, "minutely", told.append)
        else:
            waiting._fire(tmp_path, "minutely", told.append)
    assert told == ["trigger minutely: its process was ended by signal 9; it is still due"]
