"""Publishes a model, or synchronises a device with one, in a process of its own that kills itself (-9) at a step.

python model_process.py publish|settle FOLDER STEP NTH
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from model_making import Road, embedder

OLD, NEW = embedder(1), embedder(2, padding=9_000_000)


def main() -> None:
    what, folder, step, left = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

    def at(name: str) -> None:
        nonlocal left
        if name == step:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    if what == "publish":
        Road(folder, at).publish("2", NEW)
        return
    road = Road(folder)
    road.sync(road.device(at))


if __name__ == "__main__":
    main()
