"""Every server says that it serves once it may be ended: a signal right upon that line ends it in order.

ctrl-C reaches the whole group of processes: nothing of it is a traceback.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gallery_sites import SYNC, UNGATED, command, environment, here, until, write

ACQUIRE = '[site]\nname = "hub"\n[acquire]\nport = 0\n'
CONSOLE = '[site]\nname = "inner"\n[console]\nport = 0\n'
SITES = {"sync": UNGATED + SYNC.format(port=0), "acquire": ACQUIRE}
PATIENCE_S = 60.0


@contextmanager
def begun(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command as the leader of a group of its own, as a shell does; its errors go to `log`."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command(folder, *words), stdout=subprocess.PIPE, stderr=log, text=True, env=environment(),
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def group(leader: int) -> list[int]:
    """List the processes of a session that live, those that were only not waited for left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] not in (b"Z", b"X"):
            found.append(int(entry.name))
    return found


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def orderly(folder: Path) -> None:
    said = (folder / "log").read_text()
    assert "Traceback" not in said, said
    assert "CancelledError" not in said, said
    assert "KeyboardInterrupt" not in said, said


@pytest.mark.parametrize("kind", ["sync", "acquire"])
def test_a_signal_right_upon_the_line_ends_a_server_in_order(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path / kind, SITES[kind])
    with begun(folder, "serve", kind) as server:
        line = line_of(server)
        server.send_signal(signal.SIGTERM)
        assert line.startswith("serving "), (folder / "log").read_text()
        assert server.wait(PATIENCE_S) == 0, (folder / "log").read_text()
        until(lambda: not group(server.pid), "nothing of it is left", 10)
    orderly(folder)
    assert (folder / "log").read_text().splitlines()[-1] == "stopped"


_EARLY = """
import os, sys
from isthmus.app.acquiring import config
from isthmus.faces.cli.main import run

def interrupted(path, real=config.read_acquire_config):
    os.kill(os.getpid(), int(sys.argv[1]))
    return real(path)

config.read_acquire_config = interrupted
sys.exit(run(sys.argv[2:]))
"""


def test_a_signal_before_a_server_serves_is_heard_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "acquire", SITES["acquire"])
    line = [sys.executable, "-c", _EARLY, "2", "--site", str(folder), "serve", "acquire"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60, env=environment())
    assert (done.returncode, done.stdout) == (0, ""), done
    assert done.stderr.splitlines()[-1] == "stopped"


@contextmanager
def watched(folder: Path, address: str) -> Iterator[None]:
    """Look at a console as a page does: one connection that stays idle, one on which events come."""
    host, _, port = address.removeprefix("http://").partition(":")
    key = (folder / "watcher.key").read_text().strip()
    asked = ("GET /login", ""), ("GET /v1/events", f"authorization: Bearer {key}\r\n")
    with ExitStack() as open_:
        for what, header in asked:
            held = open_.enter_context(socket.create_connection((host, int(port)), 30))
            held.sendall(f"{what} HTTP/1.1\r\nhost: 127.0.0.1\r\n{header}\r\n".encode())
            assert held.recv(12) == b"HTTP/1.1 200"
        yield


def with_watcher(folder: Path, toml: str) -> Path:
    write(folder, toml)
    here(folder, "key", "add", "watcher", "--role", "viewer", "--out", str(folder / "watcher.key"))
    return folder


def test_ctrl_c_ends_a_console_that_somebody_looks_at(tmp_path: Path) -> None:
    folder = with_watcher(tmp_path / "inner", CONSOLE)
    with begun(folder, "serve", "console") as server:
        with watched(folder, line_of(server).split()[1]):
            os.killpg(server.pid, signal.SIGINT)
            assert server.wait(PATIENCE_S) == 0, (folder / "log").read_text()
        until(lambda: not group(server.pid), "nothing of it is left", 10)
    orderly(folder)


def test_ctrl_c_ends_a_whole_site(tmp_path: Path) -> None:
    folder = with_watcher(tmp_path / "site", CONSOLE)
    with begun(folder, "up") as up:
        lines = []
        while not any("running at" in one for one in lines):
            lines.append(line_of(up))
            assert lines[-1], (folder / "log").read_text()
        console = next(one for one in lines if one.startswith("console") and "running at" in one)
        with watched(folder, console.split()[-1]):
            os.killpg(up.pid, signal.SIGINT)
            assert up.wait(PATIENCE_S) == 0, (folder / "log").read_text()
        until(lambda: not group(up.pid), "nothing of it is left", 10)
        assert up.stdout is not None
        lines += up.stdout.readlines()
    orderly(folder)
    assert "Traceback" not in "".join(lines)
