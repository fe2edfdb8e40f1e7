"""Where the files of a barrier go at the standby, and how they get there: data first, manifests last.

What a file would take the place of, while that is shown, is placed at the last moment, behind a fence that hides
the table: a table that was dropped and made anew may come to the same version number, and the number is all that
names a manifest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.errors import Corrupt
from isthmus.recovery.barrier import Barrier, HeldFile, TableAt
from isthmus.recovery.contents import is_content, link
from isthmus.state.files import sync_folder
from isthmus.transfer.gate import Step
from isthmus.warehouse.name import TableName

VERSIONS = "_versions"
HINT = "latest_version_hint.json"
_MANIFEST = re.compile(r"_versions/(\d{1,20})\.manifest")
_LAST_VERSION = (1 << 64) - 1
_SUFFIX = ".lance"


@dataclass(frozen=True, slots=True)
class Place:
    """A file of a table: the table's name, and the file's path in the table's folder."""

    name: str
    path: str

    @property
    def manifest(self) -> bool:
        """Whether it is a manifest."""
        return self.path.startswith(VERSIONS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with the files of a barrier.

    `kept` lie where they should; `placed` come in order; `colliding` take the place of what is shown.
    """

    kept: Mapping[Place, HeldFile]
    placed: Mapping[Place, HeldFile]
    colliding: Mapping[Place, HeldFile]

    @property
    def coming(self) -> dict[Place, HeldFile]:
        """All that is to be placed."""
        return {**self.placed, **self.colliding}


def placed_files(barrier: Barrier) -> dict[Place, HeldFile]:
    """Return all files of a barrier by where they belong."""
    return {
        Place(table.name, file.path): file
        for identity, table in barrier.tables.items()
        for file in barrier.files[identity].values()
    }


def planned(
    barrier: Barrier, present: Mapping[Place, HeldFile], shown: Iterable[Place], again: set[bytes]
) -> Plan:
    """Decide what becomes of each file. `present` is what lies at the standby, `shown` what readers may open now.

    Contents in `again` are placed even where they lie already: they came anew, and what came is sound.
    """
    held = frozenset(shown)
    kept, placed, colliding = {}, {}, {}
    for place, file in placed_files(barrier).items():
        there = present.get(place)
        same = there is not None and (there.digest, there.size) == (file.digest, file.size)
        if same and file.digest not in again:
            kept[place] = file
        elif there is not None and not same and place in held:
            colliding[place] = file
        else:
            placed[place] = file
    return Plan(kept, placed, colliding)


def sound(barrier: Barrier, most_files: int) -> None:
    """Raise Corrupt where the paths of a barrier are not those of tables that can lie here."""
    if sum(map(len, barrier.files.values())) > most_files:
        raise Corrupt(f"the round {barrier.key} tells of more than the {most_files:,} files that are allowed")
    for identity, table in barrier.tables.items():
        paths = barrier.files[identity].keys()
        manifests = [path for path in paths if path.startswith(VERSIONS)]
        folders = {
            "/".join(parts[:n]) for path in paths if (parts := path.split("/")) for n in range(1, len(parts))
        }
        if manifests != [table.manifest] or version_of(table.manifest) != table.version:
            raise Corrupt(f"{table.name} has not the one manifest of its version {table.version}")
        if any(path.endswith(".part") for path in paths) or folders & paths:
            raise Corrupt(f"{table.name} has a file where a folder or a file under way should be")


def version_of(path: str) -> int | None:
    """Return the version that a manifest's path names, in either of Lance's two ways; None for no manifest."""
    match = _MANIFEST.fullmatch(path)
    if match is None:
        return None
    digits = match[1]
    return _LAST_VERSION - int(digits) if len(digits) == 20 else int(digits)


def folder_of(root: Path, name: str) -> Path:
    """Return the folder of a table under a local root. Raises InputError for what is no table's name."""
    parsed = TableName.parse(name)
    return root / parsed.database / parsed.schema / f"{parsed.table}{_SUFFIX}"


def path_of(root: Path, place: Place) -> Path:
    """Return where a file of a table lies."""
    return folder_of(root, place.name) / place.path


def fits(path: Path, size: int) -> bool:
    """Tell whether a regular file of a size is there."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return os.path.isfile(path) and found.st_size == size  # noqa: PTH113 - one stat less than Path.is_file


class Placing:
    """Puts files into the tables under a root, from where `source` says that each content lies."""

    def __init__(self, root: Path, source: Callable[[bytes], Path], step: Step) -> None:
        self._root, self._source, self._step = root, source, step

    def place(self, files: Mapping[Place, HeldFile], what: str) -> None:
        """Put files in their places, and make that durable. Raises OSError, Corrupt."""
        folders: set[Path] = set()
        for place, file in files.items():
            target = path_of(self._root, place)
            self._make(target.parent, folders)
            if place.manifest:  # Lance may believe it, and would then not see what is placed
                (target.parent / HINT).unlink(missing_ok=True)
            source = self._source(file.digest)
            if not link(source, target) and not is_content(target, file.digest, file.size):
                target.unlink()
                raise Corrupt(f"{place.path} of {place.name} was damaged while it was copied", "look at the disk")
            folders.add(target.parent)
            self._step(f"landing {what} placed")
        for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
            sync_folder(folder)
        self._step(f"landing {what} synced")

    def _make(self, folder: Path, synced: set[Path]) -> None:
        """Make a folder and those above it; what got a new entry is to be synced."""
        new = []
        while not folder.is_dir():
            new.append(folder)
            folder = folder.parent
        for one in reversed(new):
            one.mkdir(exist_ok=True)
            synced.add(one.parent)


def remove(root: Path, places: Iterable[Place]) -> None:
    """Remove files, manifests first, and the folders that are empty then; durably."""
    folders = set()
    for place in sorted(places, key=lambda place: (not place.manifest, place.name, place.path)):
        path = path_of(root, place)
        path.unlink(missing_ok=True)
        path.with_name(f".{path.name}.part").unlink(missing_ok=True)
        folders.add(path.parent)
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        while folder != root and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent
        if folder.is_dir():
            sync_folder(folder)


def shown_version(table: TableAt, files: Mapping[str, HeldFile]) -> tuple[int, str]:
    """Return what a fence shows of a table: its version and the BLAKE3 of its manifest in hexadecimal."""
    return table.version, files[table.manifest].digest.hex()
