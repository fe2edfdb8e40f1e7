"""Acquiring for long and at its largest: batches of 100,000, and everything killed again and again."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

import acquire_servers
from acquire_batches import dead_addresses_end_the_batch_and_come_only_on_demand
from acquire_faults import (
    Watch,
    again,
    asked,
    judge,
    kill_worker,
    lines_of,
    no_litter,
    pictures,
    slowly,
)
from acquire_sites import LOOPBACK, Hub, running
from hostile_servers import nginx

pytestmark = pytest.mark.soak

KILLING_S = float(os.environ.get("ISTHMUS_SOAK_S", "75"))
PATIENCE_S = 1800.0


def test_100_000_requests_with_three_tenths_dead_addresses_end_and_memory_stays_flat(tmp_path: Path) -> None:
    count = int(os.environ.get("ISTHMUS_SOAK_REQUESTS", "100000"))
    began = time.monotonic()
    figures = dead_addresses_end_the_batch_and_come_only_on_demand(tmp_path, count, slowly(0), PATIENCE_S)
    took = time.monotonic() - began
    print(f"{count} requests in {took:.0f} s; server {figures.server_mb:.0f} MB, agent {figures.agent_mb:.0f} MB")
    assert figures.server_mb < 400
    assert figures.agent_mb < 400


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_for_long_every_image_comes_once(tmp_path: Path, store: str, seed: int) -> None:
    dice = random.Random(f"{store} {seed}")
    contents = pictures(tmp_path / "store" / "root", 4000, large_every=40)
    names, base = list(contents), ""
    with nginx(tmp_path / "store") as port:
        base = f"http://127.0.0.1:{port}"
        if store == "postgres":
            with acquire_servers.postgres() as postgres:
                (tmp_path / "postgres").write_text(postgres.dsn)
                struck = _kill_for_long(tmp_path, dice, contents, names, base, port, postgres)
        else:
            struck = _kill_for_long(tmp_path, dice, contents, names, base, port, None)
    assert {"server", "worker", "video", "intranet"} <= set(struck)


def _kill_for_long(
    folder: Path,
    dice: random.Random,
    contents: dict[str, bytes],
    names: list[str],
    base: str,
    port: int,
    postgres: acquire_servers.Postgres | None,
) -> Counter[str]:
    """Kill what is drawn until all images have come, and prove that each came once; return who was struck."""
    shared = 'postgres_file = "../postgres"' if postgres else ""
    hub = Hub(folder / "hub", "poll_s = 0.2\nmost_attempts = 100", shared)
    rules = LOOPBACK.format(port=port) + slowly(len(names) / KILLING_S / 2)
    agents = [hub.environment("video", rules), hub.environment("intranet", rules, shared=False)]
    struck: Counter[str] = Counter()

    def restart_postgres() -> None:
        assert postgres is not None
        postgres.stop("immediate")
        postgres.start()

    blows = {
        "server": lambda: again(hub),
        "worker": lambda: kill_worker(hub),
        "video": lambda: again(agents[0]),
        "intranet": lambda: again(agents[1]),
    } | ({"postgres": restart_postgres} if postgres else {})
    with running(hub, *agents):
        wishes = [*asked(base, names[::2], "video"), *asked(base, names[1::2], "intranet")]
        batch = hub.ask(wishes)
        watch = Watch(hub.client(), batch)
        until = time.monotonic() + KILLING_S
        while time.monotonic() < until and len(watch.told) < len(names):
            time.sleep(dice.uniform(0.0, 3.0))
            victim = dice.choice(list(blows))
            blows[victim]()
            struck[victim] += 1
        watch.until(len(names), PATIENCE_S)
        assert judge(hub, batch, contents, watch) == {"done": len(names)}
        attempts = max(line.attempts for line in lines_of(hub, batch))
        print(f"{dict(struck)}; {watch.reconnected} reconnections; {attempts} attempts at most")
        watch.stop()
        for agent in agents:
            again(agent)
        again(hub)
        no_litter(hub, *agents)
    return struck
