"""A primary whose every round does everything, and a standby that is killed while it takes them in."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from recovery_rounds import A, B, C, Maker, latest, raw_append, read, rows
from recovery_standby import Standby

STEPS = (
    "landing begun",
    "landing written",
    "landing staged",
    "landing noted",
    "landing claimed",
    "landing verified",
    "landing planned",
    "landing hidden",
    "landing manifests kept",
    "landing data placed",
    "landing data synced",
    "landing manifest placed",
    "landing manifest synced",
    "landing collision hidden",
    "landing collision placed",
    "landing collision synced",
    "landing flipped",
    "landing committed",
    "landing swept",
    "holding removed",
    "holding forgot",
)
OTHER = type(C)("db", "s", "d")
_SCRIPT = Path(__file__).with_name("recovery_standby_process.py")


class Crashes:
    """Both sites, and what was done to them."""

    def __init__(self, folder: Path) -> None:
        self.maker, self.folder = Maker(folder / "north", part_bytes=6000), folder / "south"
        self.maker.table(A)
        self.maker.table(B, range(5))
        self.maker.table(C, range(8))
        self.number = self.killed = 0
        self.standby().take()

    def standby(self) -> Standby:
        """Open the standby in this process."""
        return self.maker.standby(self.folder, grace_s=0.0)

    def round(self) -> None:
        """Change everything: rows, a table made anew, a table renamed, compaction; every second round is full."""
        self.number += 1
        catalog, number = self.maker.catalog, self.number
        catalog.open(A).replace([rows(range(number, number + 3), number)], f"id = 'k{number:04d}'")
        if number % 3 == 0:
            catalog.open(A).compact()
        catalog.drop(B)
        self.maker.table(B, range(5), number)
        catalog.rename(*((C, OTHER) if number % 2 else (OTHER, C)))
        held = self.standby().landing.holding.inventory()
        made = self.maker.round(full=number % 2 == 0, known=held)
        self.maker.put(made, self.folder / "gate")

    def die(self, at: str, act: str = "take") -> bool:
        """Have the standby work in a process of its own until it is killed; False where it was not."""
        signer = str(self.maker.signer.public)
        words = [sys.executable, str(_SCRIPT), str(self.folder), signer, at, act]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        self.killed += done.returncode != 0
        return done.returncode != 0

    def whole(self) -> None:
        """See that readers get one barrier, whatever was being done; only a table made anew may be hidden."""
        standby = self.standby_fence()
        found = read(standby)
        if not standby.fence.barrier:
            assert found == {}
            return
        shown = self.maker.shown[standby.fence.barrier]
        assert found.items() <= shown.items(), f"not the barrier {standby.fence.barrier}"
        assert shown.keys() - found.keys() <= {"db.s.b"}

    def standby_fence(self) -> Standby:
        """Look at the standby without opening it, which would mend it."""
        standby = object.__new__(Standby)
        standby.root = self.folder / "tables"
        return standby

    def level(self) -> None:
        """Let the standby work undisturbed; then it holds what the primary held, and all of it is sound."""
        standby = self.standby()
        alarms = standby.alarms()
        assert alarms == [], (alarms, standby.reasons())
        assert standby.inbound.status().alarms == ()
        standby.landing.tidy()
        assert self.maker.barrier is not None
        assert standby.landing.position("recovery") == self.maker.standing
        assert standby.landing.barrier() == self.maker.barrier
        assert read(standby) == self.maker.shown[self.maker.barrier.key]
        assert standby.landing.holding.check(deep=True) == []
        assert standby.landing.holding.findings() == []
        assert not list((self.folder / "landing" / "contents").glob("*/*"))
        assert not list(standby.root.rglob("*.part"))


def takes_over(crashes: Crashes) -> None:
    """See that every table of the standby can be written by somebody who has Lance alone."""
    crashes.standby().landing.holding.rewind()
    standby = crashes.standby_fence()
    shown = read(standby)
    for name in (A, B):
        before = latest(standby.root, name)
        assert standby.fence.tables[str(name)].version == before
        assert raw_append(standby.root, name, [5000], 1) == before + 1
        assert shown[str(name)].keys() < {*shown[str(name)], "k5000"}
