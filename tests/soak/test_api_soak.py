"""Ten thousand calls made up from the description of the API, to a real server that runs real operations."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from api_trying import tried

pytestmark = pytest.mark.soak

CALLS = int(os.environ.get("ISTHMUS_API_CALLS", "10000"))
ROUNDS = 5


def test_no_call_is_an_error_of_the_server(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "isthmus"]
    subprocess.run([*command, "init", "--role", "loop", str(tmp_path / "site")], check=True, capture_output=True)
    site = tmp_path / "site"
    with (site / "isthmus.toml").open("a") as toml:
        toml.write("\n[console]\nport = 0\n")
    at = [*command, "--site", str(site)]
    subprocess.run([*at, "key", "add", "fuzz", "--role", "admin", "--out", str(tmp_path / "key")], check=True)
    key = (tmp_path / "key").read_text().strip()
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([*at, "serve", "console"], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout is not None
        url = re.search(r"http://\S+", server.stdout.readline())
        assert url, (tmp_path / "log").read_text()
        number, calls, statuses, failures = 0, 0, Counter[int](), []
        while calls < CALLS:
            number += 1
            told = tried(url[0], key, CALLS // ROUNDS, number)
            calls, statuses = calls + told.calls, statuses + told.statuses
            failures += told.failures
            print(f"{calls} calls: {dict(statuses)}", flush=True)
        assert server.poll() is None
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        server.stdout.close()  # type: ignore[union-attr]
    assert failures == []
    assert max(statuses) < 500
    assert "Traceback" not in (tmp_path / "log").read_text()
