"""Sites of the gallery in folders, as a person sets them up, and their commands as processes of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.faces.cli.main import run

INNER = """[site]
name = "inner"
[gallery]
role = "inner"
[gate]
folder = "../gate-inner"
key = "keys/gate.pem"
cut_s = 0
heartbeat_s = 1
poll_s = 0.1
"""
OUTER = """[site]
name = "outer"
[gallery]
role = "outer"
extractor = "{extractor}"
[gate]
folder = "../gate-outer"
trust = ["{trust}"]
gap_alarm_s = 0
poll_s = 0.1
"""
UNGATED = """[site]
name = "outer"
[gallery]
role = "outer"
extractor = "phash"
"""
SYNC = """[sync]
port = {port}
[ice]
loopback = true
"""
DEVICE = """[site]
name = "{name}"
[device]
extractor = "{extractor}"
[ice]
loopback = true
silence_s = 3
"""


def write(folder: Path, text: str) -> Path:
    """Write a site's TOML into a folder; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "isthmus.toml").write_text(text)
    return folder


def command(site: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "isthmus", "--site", str(site), *words]


def isthmus(site: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run one command line as a process of its own and require its exit code."""
    done = subprocess.run(command(site, *words), capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


@dataclass(frozen=True)
class Said:
    """What a command line said: its result, and what is for a person."""

    stdout: str
    stderr: str


def here(site: Path, *words: str, code: int = 0) -> Said:
    """Run one command line in this process, which costs no start of one, and require its exit code."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ended = run(["--site", str(site), *words])
    said = Said(*(one.buffer.getvalue().decode() for one in (out, err)))  # type: ignore[attr-defined]
    assert ended == code, (words, ended, said.stdout, said.stderr)
    return said


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(holds: Callable[[], Any], what: str, patience_s: float = 120.0) -> Any:
    """Wait until something holds, and return what it gave."""
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError(f"it never came so far: {what}")


def carry(inner: Path, outer: Path) -> int:
    """Be the gatekeeper: move what is there to the other side."""
    files = [file for file in sorted(inner.iterdir()) if not file.name.startswith(".")]
    for file in files:
        shutil.copyfile(file, outer / file.name)
        file.unlink()
    return len(files)


class Server:
    """A sync server as a process of its own."""

    def __init__(self, site: Path) -> None:
        self._log = (site / "server.log").open("a")
        self.process = subprocess.Popen(
            command(site, "serve", "sync"), stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment()
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().split()
        assert self.line[:1] == ["serving"], (site / "server.log").read_text()
        self.url = self.line[1]

    def get(self, path: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}{path}", timeout=30) as answer:
            return json.load(answer)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """End it as a service manager does; returns its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self._log.close()


@contextlib.contextmanager
def served(site: Path) -> Iterator[Server]:
    server = Server(site)
    try:
        yield server
    finally:
        server.end()
