"""The cut over all published tables by double collect, from the names of their manifests alone.

The newest manifest of every published table is read, the list of tables included, until two readings in a row
agree. Versions only grow, so between those two readings all tables stood as they tell. Read only once, one table
after the other, cuts over several tables were inconsistent nearly every time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from isthmus.core.errors import Busy, IsthmusError
from isthmus.core.ports import Clock
from isthmus.warehouse.name import TableName

MOST_TRIES = 10_000
_VERSION_END = 1 << 64
_LONG_NAME = 20
"""Manifests of today are named by what is left to 2^64 - 1, in 20 digits; earlier ones by the version itself."""
_MANIFEST = re.compile(r"(\d{1,20})\.manifest")


class Published(NamedTuple):
    """A published table: `database.schema.table`, its distribution, its grants as pairs of user and right."""

    name: str
    distribution: str = "roundrobin"
    grants: tuple[tuple[str, str], ...] = ()


class Moved(IsthmusError):
    """A version went, or became another, before it was held: the cut is made again."""

    retryable = True


@dataclass(frozen=True, slots=True)
class Sight:
    """A published table as it was seen: its newest version, and a stamp of the manifest.

    The stamp tells a table from one that was put in its place: number, time and place on the disk.
    """

    published: Published
    version: int
    manifest: str
    stamp: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """All published tables at one moment, and how many readings it took until two agreed."""

    at: datetime
    tables: tuple[Sight, ...]
    tries: int


def newest(table: Path) -> tuple[int, str, tuple[int, int, int, int]] | None:
    """Return the newest version of a table's folder, its manifest's name and stamp; None where there is none."""
    while True:
        found: tuple[int, str] | None = None
        try:
            with os.scandir(table / "_versions") as entries:
                for entry in entries:
                    match = _MANIFEST.fullmatch(entry.name)
                    if match is not None:
                        number = int(match[1])
                        version = _VERSION_END - 1 - number if len(match[1]) == _LONG_NAME else number
                        found = max(found or (0, ""), (version, entry.name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if found is None:
            return None
        try:
            return found[0], found[1], stamp_of(table / "_versions" / found[1])
        except FileNotFoundError:
            continue  # a newer one has come and cleanup took this one: look again


def look(root: Path, published: Iterable[Published]) -> tuple[Sight, ...]:
    """Read the newest version of every published table, one by one; those that are not there are left out.

    Raises InputError for a name that no table has.
    """
    sights = []
    for one in sorted(set(published)):
        name = TableName.parse(one.name)
        seen = newest(root / name.database / name.schema / f"{name.table}.lance")
        if seen is not None:
            sights.append(Sight(one, *seen))
    return tuple(sights)


def collect(
    root: Path, published: Callable[[], Sequence[Published]], clock: Clock, most_tries: int = MOST_TRIES
) -> Seen:
    """Read all versions until two readings in a row agree. Raises Busy after `most_tries`."""
    before = look(root, published())
    for tries in range(1, most_tries + 1):
        at = clock.now()  # after the one reading and before the other: then all tables stood so
        now = look(root, published())
        if now == before:
            return Seen(at, now, tries)
        before = now
    raise Busy(
        f"the published tables changed during each of {most_tries} readings", "write to them in larger commits"
    )


def same(sight: Sight, table: Path) -> None:
    """Return where a table's version still has the manifest that was seen. Raises Moved."""
    try:
        if stamp_of(table / "_versions" / sight.manifest) == sight.stamp:
            return
    except FileNotFoundError:
        pass
    raise Moved(f"version {sight.version} of {sight.published.name} is not there any more")


def stamp_of(file: Path) -> tuple[int, int, int, int]:
    """Return what tells a file from any other that stood or will stand at its path. Raises FileNotFoundError."""
    found = file.lstat()
    return found.st_ino, found.st_dev, found.st_mtime_ns, found.st_size
