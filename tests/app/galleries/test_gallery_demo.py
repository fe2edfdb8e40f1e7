"""The galleries' demonstration leaves nothing behind that runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gallery_sites import environment, until


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see the children of a process")
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="SIGINT"),
        pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.soak),  # acquiring's is ended so in the suite
    ],
)
def test_an_interrupted_demonstration_leaves_no_server_running(tmp_path: Path, number: signal.Signals) -> None:
    words = [sys.executable, "-m", "isthmus", "demo", "--only", "gallery", str(tmp_path / "demo")]
    with subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), "ISTHMUS_SAMPLES": str(tmp_path / "nowhere")},
    ) as telling:
        assert telling.stderr is not None
        for line in telling.stderr:
            if line.strip().startswith("outer: stands at"):
                break
        servers = [pid for pid in children(telling.pid) if "serve" in command_line(pid)]
        assert len(servers) == 1
        telling.send_signal(number)
        assert telling.stderr.read().splitlines()[-1].startswith("isthmus: interrupted")
    assert telling.returncode == 130
    until(lambda: not Path(f"/proc/{servers[0]}").exists(), "the server ended")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
