"""Either side of a gate dies by SIGKILL at a step and goes on: no request is lost, none is counted twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_doubles import Ledgerlet, proven
from agent_server import AgentServer
from gate_posts import NAMES, OfficeSide, OutpostSide, carry, key_of
from isthmus.acquire.agent.web_desk import WebDesk

TESTS = Path(__file__).parents[2]


def run(side: str, folder: Path, at: str, rounds: int = 2) -> int:
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TESTS / "gate_post_process.py"), side, str(folder), at, str(rounds)]
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


@pytest.mark.parametrize(
    ("side", "at"),
    [
        ("office", "office claimed"),
        ("office", "office opened"),
        ("office", "outbound sealed"),
        ("office", "outbound put"),
        ("office", "inbound staged"),
        ("office", "inbound applied"),
        ("office", "office delivered"),
        ("office", "office settled"),
        ("outpost", "inbound applied"),
        ("outpost", "outpost worked"),
        ("outpost", "outbound recorded"),
        ("outpost", "outbound sent"),
    ],
)
def test_killed_at_a_step_nothing_is_lost_and_nothing_counts_twice(tmp_path: Path, side: str, at: str) -> None:
    server = AgentServer(Ledgerlet(20, lease_s=1.5), tmp_path / "server")
    server.credential().save(tmp_path / "credential")
    for name in NAMES:
        (tmp_path / name).mkdir()
    for one in ("office", "outpost"):
        key_of(tmp_path, one)
    desk = WebDesk(server.credential(), "office", patience_s=5)
    try:
        if side == "office" and at in ("inbound staged", "inbound applied", "office delivered", "office settled"):
            office, outpost = OfficeSide(tmp_path, desk), OutpostSide(tmp_path)
            office.round()
            carry(tmp_path)
            outpost.round()
            outpost.work(most=9)
            outpost.round()
            carry(tmp_path)
            office.store.close()
            outpost.store.close()
        elif side == "outpost":
            office = OfficeSide(tmp_path, desk)
            office.round()
            carry(tmp_path)
            office.store.close()
        assert run(side, tmp_path, at) == -signal.SIGKILL
        office, outpost = OfficeSide(tmp_path, desk), OutpostSide(tmp_path)
        office.clock.forward(5000)
        outpost.clock.forward(5000)
        for _ in range(60):
            carry(tmp_path)
            office.round()
            carry(tmp_path)
            outpost.round()
            outpost.work()
            if server.ledger.all_ended(0.05):
                break
    finally:
        server.close()
    assert server.ledger.ended == 20 and proven(server.ledger)
