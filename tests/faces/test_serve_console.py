"""`isthmus serve console` as a process: it serves, runs an operation, ends in order, listens nowhere early."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from isthmus.app.works.work import ENDED
from isthmus.client import ApiError, Client
from isthmus.faces.cli.main import run

TOML = '[site]\nname = "inner"\n[console]\nport = 0\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "isthmus.toml"
    file.write_text(TOML)
    return file


def command(site: Path) -> list[str]:
    return [sys.executable, "-m", "isthmus", "--site", str(site), "serve", "console"]


def test_it_serves_runs_operations_and_ends_in_order(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    assert run(["--site", str(site), "key", "add", "test", "--role", "admin", "--out", str(key)]) == 0
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command(site), stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"serving (http://127\.0\.0\.1:\d+)", server.stdout.readline())
        assert found, (tmp_path / "log").read_text()
        with Client(found[1], key_file=key) as client:
            work = client.run("keys", part="console")
            assert "tls_certificate" in client.printed(work.id)
            watching = threading.Event()
            ended: list[object] = []

            def watch() -> None:
                try:
                    for event in client.events():
                        ended.append(event)
                        watching.set()
                except (ApiError, RuntimeError) as error:  # the server ends, and then the client
                    ended.append(error)

            thread = threading.Thread(target=watch, daemon=True)
            thread.start()
            while not watching.is_set():
                client.run("keys", part="site")
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()  # type: ignore[union-attr]
    said = (tmp_path / "log").read_text()
    assert said.splitlines()[-1] == "stopped"
    assert "Traceback" not in said
    assert work.state in ENDED


def test_nothing_listens_beyond_this_machine_before_somebody_is_known(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write_text(TOML + 'public_url = "https://isthmus.example"\n')
    assert run(["--site", str(site), "serve", "console"]) == 6
    (line,) = capsys.readouterr().err.splitlines()
    assert "nobody is known here yet" in line
    assert "isthmus user add NAME --role admin" in line


def test_a_second_server_of_the_same_site_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = subprocess.Popen(command(site), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("serving ")
        assert run(["--site", str(site), "serve", "console"]) == 4
        assert "running this site's operations is already under way" in capsys.readouterr().err
    finally:
        server.terminate()
        assert server.wait(60) == 0
        server.stdout.close()  # type: ignore[union-attr]
