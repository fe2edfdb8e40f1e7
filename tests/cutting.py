"""Cuts over two tables that a thread writes to all the time, a before b: at any moment b has no more than a."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from isthmus.recovery import cut as cutting
from isthmus.warehouse.catalog import Catalog
from primary_site import SCHEMA, A, B, all_tables
from transfer_doubles import HandClock

KEPT_VERSIONS = 300


@dataclass(frozen=True)
class Told:
    """How many of the cuts were inconsistent; how many readings made only once; readings a cut needed."""

    cuts: int
    inconsistent: int
    once: int
    tries: float
    commits: int
    per_second: float

    def __str__(self) -> str:
        return (
            f"{self.cuts} cuts under {self.commits} commits, {self.per_second:.0f}/s: {self.inconsistent}"
            f" inconsistent, {self.tries:.2f} readings each; read only once: {self.once} inconsistent"
        )


def cuts_under_commits(folder: Path, monkeypatch: pytest.MonkeyPatch, cuts: int) -> Told:
    """Make cuts while a thread commits; between two tables a reading sometimes waits for both to be written."""
    catalog = Catalog(folder)
    tables = [catalog.create(name, SCHEMA) for name in (A, B)]
    done, commits, dice, own = threading.Event(), 0, random.Random(1), cutting.newest

    def write() -> None:
        nonlocal commits
        while not done.is_set():
            for table in tables:
                table.dataset.update_config({"commit": str(commits)})
                commits += 1
                if commits % KEPT_VERSIONS == 0:
                    for each in tables:
                        each.dataset.cleanup_old_versions(retain_versions=5)

    def slow(table: Path) -> tuple[int, str, tuple[int, int, int, int]] | None:
        until = commits + (3 if table.name == "b.lance" and dice.random() < 0.3 else 0)
        while commits < until:
            time.sleep(0)
        return own(table)

    def apart(sights: tuple[cutting.Sight, ...]) -> bool:
        a, b = sights
        return b.version > a.version

    monkeypatch.setattr(cutting, "newest", slow)
    published, tries, wrong, once = all_tables(catalog), 0, 0, 0
    writer, begin = threading.Thread(target=write), time.perf_counter()
    writer.start()
    try:
        for _ in range(cuts):
            once += apart(cutting.look(folder, published()))
            seen = cutting.collect(folder, published, HandClock())
            tries, wrong = tries + seen.tries, wrong + apart(seen.tables)
    finally:
        done.set()
        writer.join()
    return Told(cuts, wrong, once, tries / cuts, commits, commits / (time.perf_counter() - begin))
