"""An agent process dies by SIGKILL at a step, another one goes on: no request is lost, none is counted twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent_doubles import Ledgerlet, proven
from agent_server import AgentServer

TESTS = Path(__file__).parents[2]


def start(credential: Path, folder: Path, step: str = "", count: int = 1) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(TESTS / "agent_process.py"), str(credential), str(folder), step, str(count)],
        env=environment,
        stderr=(folder.parent / f"log-{step}").open("ab"),
    )


@pytest.mark.parametrize(
    ("step", "count"),
    [
        ("claimed", 2),
        ("fetched", 3),
        ("delivering", 4),
        ("answered", 2),
        ("spool content", 2),
        ("spooled", 3),
        ("delivering spooled", 2),
    ],
)
def test_killed_at_a_step_no_request_is_lost_and_none_counted_twice(tmp_path: Path, step: str, count: int) -> None:
    server = AgentServer(Ledgerlet(200, lease_s=1.0), tmp_path / "server")
    away = threading.Event()
    if "spool" in step:
        away.set()
    server.fault = lambda path, number: "500" if away.is_set() and "deliveries" in path else ""
    server.credential().save(tmp_path / "credential")
    try:
        first = start(tmp_path / "credential", tmp_path / "agent", step, count)
        assert first.wait(30) == -signal.SIGKILL
        away.clear()
        second = start(tmp_path / "credential", tmp_path / "agent")
        assert server.ledger.all_ended(30)
        second.terminate()
        assert second.wait(20) == 0
    finally:
        server.close()
    assert proven(server.ledger) and len(server.ledger.filed) == 200
    assert not list((tmp_path / "agent" / "spool").iterdir())


def test_a_terminated_agent_gives_back_and_delivers_and_its_log_is_json_without_secrets(tmp_path: Path) -> None:
    server = AgentServer(Ledgerlet(300), tmp_path / "server")
    credential = server.credential()
    credential.save(tmp_path / "credential")
    try:
        process = start(tmp_path / "credential", tmp_path / "agent")
        with server.ledger.lock:
            assert server.ledger.lock.wait_for(lambda: len(server.ledger.filed) > 20, 60)
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.terminate()
        assert process.wait(20) == 0
    finally:
        server.close()
    assert not server.ledger.leased
    assert len(server.ledger.filed) + len(server.ledger.queued) == 300 and proven(server.ledger)
    log = (tmp_path / "log-").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    assert events[0]["event"] == "agent begins" and events[-1]["event"] == "agent ends"
    traces = [one["trace"] for event in events if event["event"] == "delivered" for one in event["items"]]
    assert sorted(traces) == sorted(f"trace-{n}" for n in server.ledger.filed)
    for secret in (credential.key, credential.signing):
        assert secret not in log and secret.encode() not in command
