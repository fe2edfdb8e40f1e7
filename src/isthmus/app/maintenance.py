"""Keeps the warehouse and the runs of a site from growing by what nobody needs any more."""

from __future__ import annotations

import datetime
import shutil
from dataclasses import dataclass
from pathlib import Path

from isthmus.app.site import Site
from isthmus.core.errors import InputError, UnknownName
from isthmus.core.progress import Progress
from isthmus.loop.runs.selecting import TAG
from isthmus.warehouse.table import Table

KEEP_DAYS = 7


@dataclass(frozen=True, slots=True)
class Tidied:
    """What a tidying did to one thing: files or folders before and after, and the bytes that became free."""

    what: str
    before: int
    after: int
    freed: int


def tidy(site: Site, keep_days: int = KEEP_DAYS) -> list[Tidied]:
    """Join small files of the tables, and remove versions and sample shards older than some days.

    Nothing that an open run reads is touched: its version is pinned. Pins of runs that have ended, which a kill
    left behind, are let go. Rows and row ids stay. Safe at any time and after a kill; waits while others write.
    Raises InputError for less than one day: who reads a version that is not pinned has that long to finish.
    """
    if keep_days < 1:
        raise InputError(f"versions cannot be kept for {keep_days} days", "keep them for 1 day or more")
    age = datetime.timedelta(days=keep_days)
    _let_go(site)
    done: list[Tidied] = []
    for name, table in site.tables.standing():
        if table.refusal():
            continue  # another site's: it is kept equal to that, file by file
        site.report(Progress(f"tidy {name}", 0))
        done += _tidied(site, name, table, age)
    site.tables.level(site.report)
    return [*done, _shards(site, age)]


def _tidied(site: Site, name: str, table: Table, age: datetime.timedelta) -> tuple[Tidied, Tidied]:
    table.refresh()
    files, versions = len(table.dataset.get_fragments()), len(table.dataset.versions())
    site.tables.waiting(table.compact, site.report)
    freed = site.tables.waiting(lambda: table.cleanup(age), site.report)
    table.refresh()
    return (
        Tidied(f"data files of {name}", files, len(table.dataset.get_fragments()), 0),
        Tidied(f"versions of {name}", versions, len(table.dataset.versions()), freed),
    )


def _let_go(site: Site) -> None:
    """Unpin the versions of runs that have ended."""
    table = site.tables.scenes
    for tag in table.dataset.tags.list():
        if tag.startswith(TAG):
            try:
                ended = not site.ledger.get(tag.removeprefix(TAG)).is_open
            except UnknownName:
                continue  # a pin that somebody else made
            if ended:
                table.unpin(tag)


def _shards(site: Site, age: datetime.timedelta) -> Tidied:
    """Remove the sample shards of runs that ended long enough ago: they can be cut again from the warehouse."""
    before = after = freed = 0
    for run in site.ledger.runs():
        folder = site.run_folder(run.id).shards("")
        if not folder.is_dir():
            continue
        before += 1
        if run.is_open or datetime.datetime.fromisoformat(run.changed) > site.clock.now() - age:
            after += 1
            continue
        freed += _size(folder)
        shutil.rmtree(folder)
    return Tidied("sample shards of runs", before, after, freed)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
