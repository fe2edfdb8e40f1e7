"""Runs works in a process that a test kills: begins one that stays, says so, and waits."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from works_making import ADA, runner_in, until


def main(folder: str) -> None:
    runner = runner_in(Path(folder))
    runner.open()
    work = runner.start("stay", {}, ADA)
    runner.start("go", {}, ADA)
    until(runner, work.id, lambda one: "staying" in one.said)
    print(work.id, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
