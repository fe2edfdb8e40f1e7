"""Cuts over pairs of tables that processes write to, a before b: at any moment b has no more than a."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from isthmus.recovery import cut as cutting
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from primary_site import SCHEMA, all_tables
from transfer_doubles import HandClock

WRITERS = 2
KEPT_VERSIONS = 50
_WAITED_COMMITS = 3
_LOOK_S = 0.0005


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
            f"{self.cuts} cuts under {self.commits} commits of {WRITERS} processes, {self.per_second:.0f}/s:"
            f" {self.inconsistent} inconsistent, {self.tries:.2f} readings each; read only once: {self.once}"
            " inconsistent"
        )


def cuts_under_commits(folder: Path, monkeypatch: pytest.MonkeyPatch, cuts: int) -> Told:
    """Make cuts while processes commit; before a table b is read, a reading sometimes waits for commits."""
    catalog = Catalog(folder)
    for name in (name for number in range(WRITERS) for name in _pair(number)):
        catalog.create(name, SCHEMA)
    published, dice, own = all_tables(catalog)(), random.Random(1), cutting.newest
    tries = wrong = once = 0
    with _writers(folder) as committed:

        def slow(table: Path) -> tuple[int, str, tuple[int, int, int, int]] | None:
            if table.name.startswith("b") and dice.random() < 0.25:
                until = committed() + _WAITED_COMMITS
                while committed() < until:
                    time.sleep(_LOOK_S)
            return own(table)

        monkeypatch.setattr(cutting, "newest", slow)
        before, begin = committed(), time.perf_counter()
        for _ in range(cuts):
            once += _apart(cutting.look(folder, published))
            seen = cutting.collect(folder, lambda: published, HandClock())
            tries, wrong = tries + seen.tries, wrong + _apart(seen.tables)
        made, took = committed() - before, time.perf_counter() - begin
    return Told(cuts, wrong, once, tries / cuts, made, made / took)


def _pair(number: int) -> tuple[TableName, TableName]:
    return TableName("db", "s", f"a{number}"), TableName("db", "s", f"b{number}")


def _apart(sights: tuple[cutting.Sight, ...]) -> bool:
    """Tell whether a reading shows what never was: of some pair, b ahead of a."""
    found = {sight.published.name: sight.version for sight in sights}
    assert len(found) == 2 * WRITERS
    pairs = (_pair(number) for number in range(WRITERS))
    return any(found[str(b)] > found[str(a)] for a, b in pairs)


@contextmanager
def _writers(root: Path) -> Iterator[Callable[[], int]]:
    """Start the writers; yields what tells how many commits they have made."""
    spawn = multiprocessing.get_context("spawn")
    done, commits, begun = spawn.Event(), spawn.Value("q", 0), spawn.Value("q", 0)
    processes = [
        spawn.Process(target=_write, args=(str(root), number, done, commits, begun), daemon=True)
        for number in range(WRITERS)
    ]

    def committed() -> int:
        assert all(one.is_alive() for one in processes), "a writer failed"
        return int(commits.value)

    for one in processes:
        one.start()
    try:
        while begun.value < WRITERS:
            committed()
            time.sleep(0.01)
        yield committed
    finally:
        done.set()
        for one in processes:
            one.join()
    assert [one.exitcode for one in processes] == [0] * WRITERS, "a writer failed"


def _write(root: str, pair: int, done: Event, commits: Any, begun: Any) -> None:
    tables = [Catalog(root).open(name) for name in _pair(pair)]
    number = 0
    while not done.is_set():
        for table in tables:
            table.dataset.update_config({"commit": str(number)})
            with commits.get_lock():
                commits.value += 1
        number += 1
        if number == 2:
            with begun.get_lock():
                begun.value += 1
        if number % KEPT_VERSIONS == 0:
            for table in tables:
                table.dataset.cleanup_old_versions(retain_versions=5)
