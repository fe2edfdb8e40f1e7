"""A primary that dies at a named step, really or as if, and what must hold afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import primary_process
from isthmus.core.position import Position
from isthmus.recovery.backup import Backup
from isthmus.transfer.memory import MemoryCarrier
from primary_site import A, B, Primary, batch, carried, filled, same_rows

ROUND = [
    *("begun", "cut", "pinned", "pinned#2", "linked", "linked#3"),
    *("proven", "proven#2", "staged", "sealed", "superseded"),
]
CONFIRM = ["unpinned", "freed", "ended", "unpinned#2"]
FAIL = ["unpinned", "freed", "failed", "ended"]

Kill = Callable[[Primary, str, str], None]
"""Lets a site do a piece of work (round, confirm or fail) and die at a step of it."""


class Died(BaseException):
    """Stands for the end of the process."""


def really(site: Primary, work: str, at: str) -> None:
    """Do the work in a process that kills itself."""
    paths = os.pathsep.join([str(Path(primary_process.__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, primary_process.__file__, str(site.folder), work, f"backup {at}"],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"{work} did not come to {at}: {done.stderr}"


def as_if(site: Primary, work: str, at: str) -> None:
    """Do the work in this process and leave all as it is at the step: starting a process takes its time."""

    def die() -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Died):
        step = primary_process.steps(work, f"backup {at}", die)
        own = Backup._fail

        def fail(self: Backup, key: str, error: BaseException) -> None:
            if not isinstance(error, Died):
                own(self, key, error)

        patched.setattr(Backup, "_fail", fail)
        site.step = step
        primary_process.do(site, work)
    site.step = lambda told: None


def check_killed_round(folder: Path, at: str, kill: Kill) -> None:
    """A round that died is finished or rolled back by the next one, which succeeds."""
    site = Primary(folder, part_bytes=4000)
    table = filled(site.catalog, A, 100)
    filled(site.catalog, B)
    sender, receiver = site.pair(MemoryCarrier())
    first = site.backup.round()
    assert first is not None
    assert carried(sender, receiver, site.backup) == []
    table.append([batch(range(300, 320))])
    kill(site, "round", at)
    sealed = at in ("sealed", "superseded")
    site.clock.forward(600)
    after = site.backup.round()
    assert after is not None
    assert after.prior == (site.backup.rounds()[1].key if sealed else first.key)
    assert carried(sender, receiver, site.backup) == []
    assert site.target.standing == site.backup.source.position()
    assert same_rows(site.target.restore(folder / "out")[str(A)], table)
    site.backup.confirm(site.target.standing or Position(1, 0))
    assert (site.tags(), site.staged()) == ([], [])
    states = [row.state for row in site.backup.rounds()]
    assert states == ["FINISH", "FINISH" if sealed else "DROPPED", "FINISH"]


def check_killed_confirmation(folder: Path, at: str, kill: Kill) -> None:
    """What a confirmation that died did not let go is let go by the next start."""
    site = Primary(folder)
    table = filled(site.catalog, A)
    site.backup.round()
    table.append([batch([900])])
    site.backup.round()
    kill(site, "confirm", at)
    site.backup.recover()
    assert (site.tags(), site.staged()) == ([], [])
    assert [row.state for row in site.backup.rounds()] == ["FINISH", "FINISH"]
    third = site.backup.round()
    assert third is not None
    assert third.prior == site.backup.rounds()[1].key


def check_killed_failure(folder: Path, at: str, kill: Kill) -> None:
    """A round that failed, and died while it was rolled back, leaves nothing."""
    site = Primary(folder)
    filled(site.catalog, A)
    kill(site, "fail", at)
    site.clock.forward(600)
    found = site.backup.round()
    assert found is not None
    assert found.full
    assert (site.tags(), site.staged()) == ([f"recovery-{found.key}"], [found.key])
    assert [row.state for row in site.backup.rounds()] == ["DROPPED", "SEND"]
