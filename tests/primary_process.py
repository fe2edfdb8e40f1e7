"""A primary's backup in a process of its own, which kills itself (-9) at a named step.

    python tests/primary_process.py <folder> round|confirm|fail <step>

`<step>` is `name` or `name#n` for its n-th time. `fail` takes a round that a full disk ends once it is staged.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from primary_site import Primary
from transfer_doubles import BEGIN, HandClock


def steps(work: str, at: str, die: Callable[[], None]) -> Callable[[str], None]:
    """Make a step hook that dies at a step, and meets a full disk where the work is to fail."""
    name, _, number = at.partition("#")
    left = int(number or 1)

    def step(told: str) -> None:
        nonlocal left
        if told == name:
            left -= 1
            if not left:
                die()
        if work == "fail" and told == "backup staged":
            raise OSError(errno.ENOSPC, "No space left on device")

    return step


def do(site: Primary, work: str) -> None:
    """Do one piece of work."""
    if work == "confirm":
        site.backup.confirm(site.backup.source.position())
    else:
        with contextlib.suppress(OSError):
            site.backup.round()


def main(folder: str, work: str, at: str) -> None:
    """Do one piece of work and die on the way."""
    step = steps(work, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    do(Primary(Path(folder), step, HandClock(BEGIN + timedelta(seconds=300)), part_bytes=4000), work)


if __name__ == "__main__":
    main(*sys.argv[1:])
