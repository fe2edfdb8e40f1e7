"""A task for worker processes that does what a unit's key says; it stands here so that fresh processes find it."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.errors import SourceError
from isthmus.loop.record import Unit


@dataclass(frozen=True)
class Scripted:
    """Does what the unit's key says; leaves a line in `log` each time it is asked."""

    log: Path

    def __call__(self, unit: Unit) -> str:
        with self.log.open("a") as file:
            file.write(f"{unit.key}\n")
        word = unit.key.partition("-")[0]
        if word == "killed" or (word == "once" and self.log.read_text().split().count(unit.key) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "exit":
            os._exit(3)
        if word == "bug":
            raise ValueError("a line\nand another")
        if word == "full":
            raise OSError(errno.ENOSPC, "No space left on device", "part.arrow")
        if word == "refused":
            raise SourceError("the folder is gone", "mount it")
        if word == "odd":
            return lambda: None  # type: ignore[return-value]
        if word == "threads":
            return os.environ["OMP_NUM_THREADS"]
        return unit.key.upper()


def wait_for_a_signal(unit: Unit) -> None:
    """Tell the worker's process id and then wait for ever."""
    os.write(1, f"{os.getpid()}\n".encode())  # in one piece: another worker tells its own meanwhile
    signal.pause()
