"""Runs a drill over the tables under a root and kills itself at a named step."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from isthmus.recovery.drill import Drill
from isthmus.transfer.signing import SigningKey
from isthmus.warehouse.catalog import Catalog
from recovery_folders import Standing, barrier_of


def main(root: str, folder: str, at: str) -> None:
    def step(name: str) -> None:
        if name == at:
            os.kill(os.getpid(), signal.SIGKILL)

    catalog = Catalog(root)
    barrier, folders = barrier_of({str(name): catalog.open(name) for name in catalog.names()})
    drill = Drill(barrier, folders, Path(folder) / "scratch", "north", Standing(), step=step)
    drill.run(Path(folder) / "report.json", SigningKey.create())


if __name__ == "__main__":
    main(*sys.argv[1:])
