"""Rounds while two processes write, compact and clean up without a pause: none fails, and all can be restored."""

from __future__ import annotations

import datetime
import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from isthmus.core.errors import Busy, IsthmusError
from isthmus.transfer.memory import MemoryCarrier
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.table import Table
from primary_site import A, B, Primary, batch, carried, filled

_LOOK_EVERY = 10
"""Each so many rounds the tables are restored from what travelled, and read."""


@dataclass(frozen=True)
class Told:
    """What came of it. `again`: rounds that were refused once and taken then; `failed`: refused twice."""

    rounds: int
    again: int
    failed: int
    restored: int
    commits: int
    compactions: int

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds under {self.commits} commits and {self.compactions} compactions with cleanup by"
            f" two processes: {self.again} taken again, {self.failed} failed then; {self.restored} tables restored"
        )


def rounds_under_writers(folder: Path, seconds: float) -> Told:
    """Take rounds, one after the other, for so many seconds. Raises what a wrong restore raises."""
    site = Primary(folder)
    for name in (A, B):
        filled(site.catalog, name)
    outbound, inbound = site.pair(MemoryCarrier())
    rounds = again = failed = restored = 0
    with _writers(folder / "tables") as (commits, compactions):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            rounds += 1
            try:
                site.backup.round()
            except Busy:
                again += 1
                try:
                    site.backup.round()
                except IsthmusError:
                    failed += 1
            site.clock.forward(60)
            assert carried(outbound, inbound, site.backup) == []
            if rounds % _LOOK_EVERY == 0:
                restored += _restored(site, folder / f"restored-{rounds}")
            head = outbound.status().head
            assert head is not None
            site.backup.confirm(head)
        restored += _restored(site, folder / "last")
        return Told(rounds, again, failed, restored, commits.value, compactions.value)


def _restored(site: Primary, root: Path) -> int:
    """Open each table of the shown barrier from nothing but what travelled, and count its rows."""
    assert site.target.barrier is not None
    rows = {table.name: table.rows for table in site.target.barrier.tables.values()}
    found = {name: _count(table) for name, table in site.target.restore(root).items()}
    assert found == rows, f"restored {found}, sealed were {rows}"
    return len(found)


def _count(table: Table) -> int:
    return sum(part.num_rows for part in table.scan())


@contextmanager
def _writers(root: Path) -> Iterator[tuple[Any, Any]]:
    spawn = multiprocessing.get_context("spawn")
    done, commits, compactions = spawn.Event(), spawn.Value("q", 0), spawn.Value("q", 0)
    processes = [
        spawn.Process(target=_write, args=(str(root), str(name), done, commits, compactions), daemon=True)
        for name in (A, B)
    ]
    for one in processes:
        one.start()
    while commits.value < 2 * len(processes):  # both have begun
        assert all(one.is_alive() for one in processes)
        time.sleep(0.01)
    try:
        yield commits, compactions
    finally:
        done.set()
        for one in processes:
            one.join()
    assert [one.exitcode for one in processes] == [0, 0], "a writer failed"


def _write(root: str, name: str, done: Event, commits: Any, compactions: Any) -> None:
    dice = random.Random(name)
    table = Catalog(root).open(TableName.parse(name))
    number = 0
    while not done.is_set():
        table.refresh()
        begin = dice.randrange(2000)
        match number % 5:
            case 0 | 1:
                stretch = f"id >= 'k{begin:06d}' AND id < 'k{begin + 20:06d}'"
                table.replace([batch(range(begin, begin + 20), number)], stretch)
            case 2 | 3:
                table.append([batch(range(10_000 + number * 10, 10_010 + number * 10))])
            case _:
                table.delete(f"id >= 'k{10_000 + (number - 25) * 10:06d}'")
        with commits.get_lock():
            commits.value += 1
        number += 1
        if number % 7 == 0:
            table.refresh()
            table.compact()
            table.cleanup(datetime.timedelta())
            with compactions.get_lock():
                compactions.value += 1
