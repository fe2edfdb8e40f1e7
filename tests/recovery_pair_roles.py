"""Changes of role in a loop, and what each may cost: the counts are told."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from isthmus.app.recovery.site import RecoverySite
from recovery_pair import Two, full

KILO = 1 << 10
ALLOWANCE = 32 * KILO
"""What travels of metadata beside contents in a failback, in bytes: headers, indices and signatures of bundles."""


@dataclass(slots=True)
class Told:
    """What came of a loop. `ratio` is the highest of the bytes that travelled to those that were written apart."""

    switchovers: int = 0
    failovers: int = 0
    failbacks: int = 0
    rows: int = 0
    lost: int = 0
    kept_aside: int = 0
    beyond_the_last_round: int = 0
    ratio: float = 0.0
    bundle_ratio: float = 0.0

    def __str__(self) -> str:
        if self.switchovers:
            return f"{self.switchovers} switchovers: {self.rows} rows written before, {self.lost} lost"
        return (
            f"{self.failovers} failovers: {self.lost} rows of sealed rounds lost, {self.beyond_the_last_round} of"
            f" {self.failovers} written after the last one; {self.failbacks} failbacks:"
            f" {self.kept_aside} rows kept aside, contents at most {self.ratio:.3f} and bundles at most"
            f" {self.bundle_ratio:.3f} of what was written apart"
        )


def switchovers(folder: Path, times: int) -> Told:
    """Hand over there and back: every row written before the writers are kept out is at the new primary."""
    two, told = Two(folder), Told()
    primary = two.a
    written = {"start"}
    two.add(primary, "things", "start")
    two.settle()
    for number in range(times):
        names = [f"row {number} {one}" for one in range(random.Random(number).randrange(1, 6))]
        two.add(primary, "things", *names, bulk=random.Random(number).randrange(2 * KILO))
        written |= set(names)
        if number % 3 == 0:
            two.add(primary, f"table_{number}", "new")
        if number % 5 == 4:
            primary.catalog.open(full("things")).compact()
        before = two.tables(primary)
        two.switch_over(primary)
        primary = two.other(primary)
        after = two.tables(primary)
        told.switchovers += 1
        told.rows += len(names)
        told.lost += sum(len(set(rows) - set(after.get(table, ()))) for table, rows in before.items())
        if number % 4 == 3:
            two.settle()
            assert two.tables(two.a) == two.tables(two.b)
        else:
            two.settle() if primary.pair.other() is None else two.turn(two.other(primary))
    two.settle()
    assert set(two.rows(two.a, "things")) == set(two.rows(two.b, "things")) == written
    two.close()
    return told


def failovers(folder: Path, times: int) -> Told:
    """Lose the primary and get it back as the standby: what is lost came after the last round that had arrived."""
    two, told = Two(folder), Told()
    primary = two.a
    two.add(primary, "things", *(f"old {number}" for number in range(60)), bulk=2 * KILO)
    two.settle()
    for number in range(times):
        standby = two.other(primary)
        chance = random.Random(number)
        two.add(primary, "things", f"sealed {number}", bulk=chance.randrange(2 * KILO))
        two.settle()
        sealed = set(two.rows(primary, "things"))
        two.cut_link()
        two.add(primary, "things", f"lost {number}", bulk=chance.randrange(8 * KILO))
        two.fail_over(standby)
        told.failovers += 1
        told.lost += len(sealed - set(two.rows(standby, "things")))
        told.beyond_the_last_round += f"lost {number}" not in two.rows(standby, "things")
        before = _files(standby)
        two.add(standby, "things", *(f"new {number} {one}" for one in range(12)), bulk=32 * KILO)
        if number % 4 == 3:
            standby.catalog.open(full("things")).delete(f"name = 'sealed {number}'")
        two.mend_link()
        two.settle()
        apart = sum(size for path, size in _files(standby).items() if path not in before)
        bundles = two.sent[standby.config.site.name]
        ((_, kept),) = two.fail_back(primary)
        two.settle()
        told.failbacks += 1
        told.kept_aside += f"lost {number}" in two.rows(primary, str(kept))
        primary.catalog.drop(kept)
        row = next(row for row in standby.backup.rounds() if row.full and row.epoch == standby.pair.fence.epoch)
        travelled = two.sent[standby.config.site.name] - bundles - ALLOWANCE
        told.ratio = max(told.ratio, row.bytes / apart)
        told.bundle_ratio = max(told.bundle_ratio, travelled / apart)
        assert two.rows(primary, "things") == two.rows(standby, "things")
        primary = standby
    two.close()
    return told


def _files(site: RecoverySite) -> dict[Path, int]:
    folder = Path(site.catalog.uri(full("things")).removeprefix("file://"))
    return {
        file: file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and "_refs" not in file.parts and not file.name.startswith((".", "latest"))
    }
