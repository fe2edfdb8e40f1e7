"""Whole sites of acquiring under faults: no request is lost, and none is told twice to the client.

Every process is a real one, started as an operator starts it. What the faults leave is judged by `judge` alone.
Deaths at named steps are tried where the steps are: queue, agent, filing, server and gate have tests of their own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from acquire_faults import (
    Watch,
    again,
    asked,
    judge,
    kill_worker,
    moments,
    no_litter,
    pictures,
    slowly,
)
from acquire_sites import LOOPBACK, Hub, running
from hostile_servers import nginx

QUICK = "poll_s = 0.2"


@pytest.mark.parametrize("victim", ["server", "agent", "worker"])
def test_killed_at_moments_that_nobody_chose_every_image_still_comes_once(tmp_path: Path, victim: str) -> None:
    contents = pictures(tmp_path / "store" / "root", 240)
    with nginx(tmp_path / "store") as port:
        hub = Hub(tmp_path / "hub", QUICK)
        agent = hub.environment("video", LOOPBACK.format(port=port) + slowly(80))
        with running(hub, agent):
            batch = hub.ask(asked(f"http://127.0.0.1:{port}", contents, "video"))
            watch = Watch(hub.client(), batch)
            for moment in moments(victim, 3, len(contents)):
                watch.until(moment)
                if victim == "worker":
                    kill_worker(hub)
                else:
                    again(hub if victim == "server" else agent)
            watch.until(len(contents))
            assert judge(hub, batch, contents, watch) == {"done": len(contents)}
            assert watch.reconnected >= (3 if victim == "server" else 0)
            watch.stop()
            again(agent)
            again(hub)
            no_litter(hub, agent)
