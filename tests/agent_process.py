"""An agent as a process of its own, which dies by SIGKILL at a step: credential, folder, step, count."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from agent_doubles import InventingFetcher
from isthmus.acquire.agent import credential
from isthmus.acquire.agent.settings import AgentSettings
from isthmus.acquire.agent.spool import Spool
from isthmus.acquire.agent.web_desk import WebDesk
from isthmus.acquire.agent.work import Agent
from isthmus.acquire.log import Log


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


def main(path: str, folder: Path, last: str, count: int) -> None:
    left = [count]

    def step(name: str) -> None:
        if name == last:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    settings = AgentSettings(wait_s=0.2, least_pause_s=0.01, most_pause_s=0.05, spool_after_s=0.0, stop_s=5)
    (folder / "fetched").mkdir(parents=True, exist_ok=True)
    agent = Agent(
        WebDesk(credential.load(Path(path)), "process", patience_s=5),
        InventingFetcher(folder / "fetched"),
        Spool(folder / "spool", settings.spool_bytes, step),
        settings,
        Now(),
        Log(sys.stderr, Now(), agent="process", level="debug"),
        step=step,
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    agent.run(stop)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
