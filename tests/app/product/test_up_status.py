from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gallery_making import jpeg
from gallery_sites import INNER, write
from isthmus.app.product.lags import span
from isthmus.app.product.metrics import part_families
from isthmus.app.product.record import PartRecord, UpRecord, ticks_of, write_record
from isthmus.app.product.status import status_of
from isthmus.app.upconfig import read_up_config
from isthmus.core.prometheus import exposition
from isthmus.faces.cli.main import run

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def recorded(state: Path, *parts: PartRecord, pid: int = 0, ended: bool = False) -> None:
    state.mkdir(exist_ok=True)
    pid = pid or os.getpid()
    write_record(state, UpRecord(pid, ticks_of(pid), NOW, ended, parts))


@pytest.fixture
def inner(tmp_path: Path) -> Path:
    site = write(tmp_path / "inner", INNER)
    (tmp_path / "gate-inner").mkdir()
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg(1))
    assert run(["--site", str(site), "gate", "keys"]) == 0
    assert run(["--site", str(site), "gallery", "add", "staff", "anna", str(photo)]) == 0
    return site


def test_a_site_that_never_ran_is_told_and_is_well(tmp_path: Path) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "s"\n[acquire]\n[sync]\n[gallery]\nrole = "outer"\n')
    now = status_of(read_up_config(toml))
    assert [(one.name, one.state, one.lag.text) for one in now.parts] == [
        ("acquire", "down", "nothing yet"),
        ("sync", "down", "nothing yet"),
    ]
    assert (now.up, now.well) == (False, True)
    assert not (tmp_path / "state").exists(), "looking makes nothing"


def test_what_waits_to_be_sent_is_told_whether_the_site_runs_or_not(
    inner: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    toml = inner / "isthmus.toml" if inner.is_dir() else inner
    [part] = status_of(read_up_config(toml)).parts
    assert (part.state, part.lag.text, part.lag.figures) == ("down", "1 changes not sent", {"waiting": 1})
    assert run(["--site", str(inner), "gate", "send"]) == 0
    recorded(toml.parent / "state", PartRecord("gate-send", "running", NOW, pid=77, restarts=2))
    capfd.readouterr()
    assert run(["--site", str(inner), "status", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["up"], told["pid"], told["well"]) == (True, os.getpid(), True)
    [part] = told["parts"]
    assert (part["state"], part["figures"], part["restarts"]) == ("running", {"waiting": 0}, 2)


def test_what_was_given_up_or_lost_is_wrong(inner: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = (inner / "isthmus.toml" if inner.is_dir() else inner).parent / "state"
    why = PartRecord("gate-send", "failed", NOW, failures=8, why="it ended with exit code 1", said="isthmus: no")
    recorded(state, why)
    assert run(["--site", str(inner), "status"]) == 1
    out, err = capfd.readouterr()
    assert "WRONG gate-send: given up: it ended with exit code 1; it said: isthmus: no" in out + err
    recorded(state, PartRecord("gate-send", "running", NOW), pid=2**22 + 1)
    now = status_of(read_up_config(state.parent / "isthmus.toml"))
    assert (now.up, now.well, now.parts[0].state) == (False, False, "lost")
    recorded(state, PartRecord("gate-send", "stopped", NOW), ended=True)
    assert status_of(read_up_config(state.parent / "isthmus.toml")).well


def test_a_health_check_is_quick_and_wants_the_site_up(inner: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = (inner / "isthmus.toml" if inner.is_dir() else inner).parent / "state"
    assert run(["--site", str(inner), "status", "--running"]) == 1
    assert "isthmus up does not run" in capfd.readouterr().err
    recorded(state, PartRecord("gate-send", "running", NOW))
    assert run(["--site", str(inner), "status", "--running"]) == 0
    recorded(state, PartRecord("gate-send", "backing off", NOW, why="it ended with exit code 1"))
    assert run(["--site", str(inner), "status", "--running"]) == 1


def test_a_part_whose_lag_cannot_be_told_does_not_hide_the_others(tmp_path: Path) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "s"\n[agent]\n[gallery]\nrole = "inner"\n[gate]\nfolder = "gate"\n')
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "isthmus.sqlite").write_bytes(b"no database" * 100)
    agent, gate = status_of(read_up_config(toml)).parts
    assert "agent.json is not there" in agent.wrong
    assert "is no state file" in gate.wrong


def test_what_is_left_out_is_shown_as_such(tmp_path: Path) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "s"\n[acquire]\n[up]\nleave_out = ["acquire"]\n')
    assert [one.state for one in status_of(read_up_config(toml)).parts] == ["left out"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7300, "2 h"), (2e5, "2 d")]
)
def test_spans_are_short(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_prometheus_is_told_of_the_parts(tmp_path: Path) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "s"\n')
    assert list(part_families(toml)) == []
    recorded(
        tmp_path / "state", PartRecord("sync", "running", NOW, restarts=3), PartRecord("agent", "failed", NOW)
    )
    text = exposition(part_families(toml))
    assert {
        "isthmus_up 1",
        'isthmus_part_running{part="sync"} 1',
        'isthmus_part_given_up{part="agent"} 1',
        'isthmus_part_restarts_total{part="sync"} 3',
    } <= set(text.splitlines())
    recorded(tmp_path / "state", PartRecord("sync", "running", NOW), pid=2**22 + 1)
    assert 'isthmus_part_running{part="sync"} 0' in exposition(part_families(toml))
    toml.write_text("[site")
    assert list(part_families(toml)) == []
