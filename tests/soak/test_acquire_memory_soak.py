"""100,000 images go through an interface server, its worker and an agent, whose memory stays where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from acquire_faults import asked, picture, workers
from acquire_sites import LOOPBACK, Hub, running
from hostile_servers import nginx

pytestmark = pytest.mark.soak

IMAGES = int(os.environ.get("ISTHMUS_SOAK_IMAGES", "100000"))
SETTLED = IMAGES // 5
"""After so many images everything has the size that it needs: caches are full, connections are there."""
MOST_MB, MOST_GROWTH_MB = 400.0, 40.0


def memory_mb(process: int, field: str = "VmRSS") -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(field)


def test_memory_stays_where_it_was_over_many_images(tmp_path: Path) -> None:
    root = tmp_path / "store" / "root"
    root.mkdir(parents=True)
    names = [f"{number}.jpg" for number in range(IMAGES)]
    for number, name in enumerate(names):
        (root / name).write_bytes(picture(number))
    with nginx(tmp_path / "store") as port:
        hub = Hub(tmp_path / "hub")
        agent = hub.environment("video", LOOPBACK.format(port=port))
        with running(hub, agent):
            batch = hub.ask(asked(f"http://127.0.0.1:{port}", names, "video"))
            processes = {"server": hub.pid, "worker": workers(hub)[0], "agent": agent.pid}
            before: dict[str, float] = {}
            seen: set[int] = set()
            for told in hub.client().events(batch):
                assert told.kind == "done", told
                assert told.facts["request"] not in seen, "an image was told twice"
                seen.add(told.facts["request"])
                if len(seen) == SETTLED:
                    before = {name: memory_mb(process) for name, process in processes.items()}
                if len(seen) == IMAGES:
                    break
            after = {name: memory_mb(process) for name, process in processes.items()}
            most = {name: memory_mb(process, "VmHWM") for name, process in processes.items()}
    told_of = json.dumps({"at first": before, "at last": after, "at most": most})
    print(told_of)
    assert all(mb < MOST_MB for mb in most.values()), told_of
    assert all(after[name] - before[name] < MOST_GROWTH_MB for name in processes), told_of
