"""One side of an environment's gate, doing rounds until SIGKILL: side, folder, step, rounds."""

from __future__ import annotations

import sys
from pathlib import Path

from gate_posts import OfficeSide, OutpostSide
from gate_process import killer
from isthmus.acquire.agent import credential
from isthmus.acquire.agent.web_desk import WebDesk


def main(side: str, folder: Path, at: str, rounds: int) -> None:
    step = killer(at)
    if side == "office":
        desk = WebDesk(credential.load(folder / "credential"), "office", patience_s=5)
        office = OfficeSide(folder, desk, step)
        office.clock.forward(1000)
        for _ in range(rounds):
            office.round()
        return
    outpost = OutpostSide(folder, step)
    outpost.clock.forward(1000)
    for _ in range(rounds):
        outpost.round()
        outpost.work(most=7)
        step("outpost worked")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
