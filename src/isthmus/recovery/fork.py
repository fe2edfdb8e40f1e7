"""Where the histories of a table parted, found by the digests of manifests, and what one site had alone.

Two sites that held one barrier and were both written since have versions of equal numbers and other content. A
manifest names every file of its version, so the last common version is the last one whose manifest the other site
holds, byte for byte. What came after it is kept aside: the whole table at its latest version, by hard links, under
a name of its own.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from isthmus.core.errors import InputError
from isthmus.state.files import sync_folder
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.files import VERSIONS, files_of
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import local_path

SCHEMA = "quarantine"
"""The schema of tables that were kept aside, in the database of the table."""

_HIGHEST = (1 << 64) - 1
_LONGEST = 63
_MANIFEST = re.compile(r"(\d+)\.manifest")

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Parted:
    """A table that this site wrote alone. `common` is the last version that both had, 0 where there is none."""

    name: TableName
    common: int
    latest: int


def versions(folder: Path) -> dict[int, Path]:
    """Return the manifests of a table's folder by version, of either way in which Lance numbers their files."""
    found = {}
    for path in (folder / VERSIONS).glob("*.manifest"):
        if match := _MANIFEST.fullmatch(path.name):
            number = int(match[1])
            found[_HIGHEST - number if len(match[1]) == 20 else number] = path
    return found


def common_version(folder: Path, theirs: Collection[bytes]) -> int:
    """Return the last version whose manifest's BLAKE3 the other site holds; 0 where it holds none."""
    manifests = versions(folder)
    return next((number for number in sorted(manifests, reverse=True) if _digest(manifests[number]) in theirs), 0)


def manifests(catalog: Catalog, names: Collection[TableName]) -> dict[bytes, int]:
    """Return the BLAKE3 and size of every version's manifest of tables; those that are not there have none."""
    found = {}
    for name in names:
        folder = local_path(catalog.uri(name))
        for path in versions(folder).values() if folder is not None else ():
            with suppress(FileNotFoundError):  # a cleanup took it
                content = path.read_bytes()
                found[blake3(content).digest()] = len(content)
    return found


def parted(catalog: Catalog, names: Collection[TableName], theirs: Collection[bytes]) -> Iterator[Parted]:
    """Find the tables that this site wrote alone. Raises InputError for tables that lie in no local folder."""
    for name in sorted(names):
        folder = local_path(catalog.uri(name))
        if folder is None:
            raise InputError(f"{catalog.uri(name)} is no folder", "tables on an object store are not failed back")
        latest = max(versions(folder), default=0)
        common = common_version(folder, theirs)
        if latest > common:
            yield Parted(name, common, latest)


def aside(name: TableName, key: str) -> TableName:
    """Return the name under which a table is kept aside by a failback with this key."""
    stem = f"{name.schema}_{name.table}"[: _LONGEST - len(key) - 1]
    return TableName(name.database, SCHEMA, f"{stem}_{key}")


def keep_aside(catalog: Catalog, name: TableName, key: str, step: Step = lambda step: None) -> TableName:
    """Link a table at its latest version to its name aside; again after a crash it comes out the same.

    It is linked under a hidden name and renamed once it is whole, so nobody lists a half of it. Nothing is copied,
    and what happens to the table later does not touch what is kept.
    """
    kept = aside(name, key)
    source, target = local_path(catalog.uri(name)), local_path(catalog.uri(kept))
    assert source is not None and target is not None
    if versions(target):
        return kept
    coming = target.with_name(f".{target.stem}.coming")
    shutil.rmtree(coming, ignore_errors=True)
    folders: set[Path] = set()
    for file in files_of(catalog.open(name)):
        into = coming / file.path
        into.parent.mkdir(parents=True, exist_ok=True)
        folders |= {into.parent, into.parent.parent, coming}
        os.link(source / file.path, into)
    for folder in sorted(folders):
        sync_folder(folder)
    step("failback linked")
    coming.rename(target)
    sync_folder(target.parent)
    step("failback kept")
    return kept


def _digest(path: Path) -> bytes:
    return blake3(path.read_bytes()).digest()
