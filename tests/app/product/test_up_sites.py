"""Real sites under `isthmus up`: their servers answer, come back after kill -9, and are gone after SIGTERM."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gallery_sites import environment, free_port, until
from isthmus.app.product.record import PartRecord, read_record
from isthmus.faces.cli.main import run

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextlib.contextmanager
def up(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "isthmus", "--site", str(folder), "up"],
            stdout=log,
            stderr=log,
            env=environment(),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


def part(folder: Path, name: str) -> PartRecord | None:
    record = read_record(folder / "state")
    return record.part(name) if record is not None else None


def running(folder: Path, name: str, *, other_than: int = 0) -> PartRecord:
    def runs() -> PartRecord | None:
        found = part(folder, name)
        return found if found is not None and found.state == "running" and found.pid != other_than else None

    found: PartRecord = until(runs, f"{name} runs")
    return found


def health(address: str) -> Any:
    with _OPENER.open(f"{address}/health", timeout=30) as answer:
        return json.load(answer)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    assert run(["init", str(folder), "--role", "acquire", "--console"]) == 0
    toml = folder / "isthmus.toml"
    text = toml.read_text().replace("port = 8480", f"port = {free_port()}").replace("port = 8460", "port = 0")
    toml.write_text(text)
    return folder


def test_a_site_serves_comes_back_after_kill_9_and_is_gone_after_sigterm(
    site: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with up(site) as supervisor:
        first, console = running(site, "acquire"), running(site, "console")
        assert health(first.address)["status"] == "ok"
        assert health(console.address)
        with _OPENER.open(f"{console.address}/metrics", timeout=30) as answer:
            assert 'isthmus_part_running{part="acquire"} 1' in answer.read().decode()
        os.kill(first.pid, signal.SIGKILL)
        second = running(site, "acquire", other_than=first.pid)
        assert second.address == first.address
        assert health(second.address)["status"] == "ok"
        assert running(site, "console").pid == console.pid
        capfd.readouterr()
        assert run(["--site", str(site), "status", "--json"]) == 0
        told = json.loads(capfd.readouterr().out)
        assert [(one["part"], one["state"], one["restarts"]) for one in told["parts"]] == [
            ("acquire", "running", 1),
            ("console", "running", 0),
        ]
        assert run(["--site", str(site), "doctor"]) == 0, "its ports are its own"
        assert "acquire is served by isthmus up" in capfd.readouterr().out
        assert run(["--site", str(site), "up"]) == 4
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(60) == 0
        assert not any(Path(f"/proc/{one.pid}").exists() for one in (second, console))
    lines = [json.loads(line) for line in (site / "log").read_text().splitlines() if line.startswith("{")]
    assert {line["part"] for line in lines} == {"acquire", "console"}
    assert run(["--site", str(site), "status"]) == 0, "a site that was ended is not wrong"


def test_a_site_that_asks_for_nothing_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "isthmus.toml").write_text('[site]\nname = "s"\n')
    assert run(["--site", str(tmp_path), "up"]) == 2
    assert "asks for nothing that runs" in capfd.readouterr().err


def test_show_lists_the_parts_with_commands_that_exist(site: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert run(["--site", str(site), "up", "--show", "--leave-out", "console"]) == 0
    [line] = capfd.readouterr().out.splitlines()
    name, because, command = line.split("\t")
    assert (name, because) == ("acquire", "[acquire]")
    assert command == f"isthmus --site {site / 'isthmus.toml'} serve acquire"
