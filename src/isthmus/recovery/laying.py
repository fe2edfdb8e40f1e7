"""Lays the files of a barrier into the tables' folders, so that no reader ever sees a half of it.

Data first, manifests last, each under its final name at one moment and durable before what names it. Until the
fence is written nobody is shown any of it. A table whose name another one bears, as after a drop and a second
creation, waits under a hidden name and takes the place just before the fence is written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from isthmus.core.errors import Refused
from isthmus.recovery.barrier import Barrier, HeldFile, TableAt
from isthmus.recovery.fork import versions
from isthmus.recovery.staged_contents import link
from isthmus.state.files import replacing, sync_folder
from isthmus.transfer.gate import Step, no_step
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.files import HINT
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import local_path

Find = Callable[[HeldFile], Path]
"""Returns a proven file with a content."""


class Laying:
    """Lays barriers under one root. `aside` is a folder, on the same file system, for what is in the way."""

    def __init__(self, catalog: Catalog, aside: Path, step: Step = no_step) -> None:
        self._catalog, self._aside, self._step = catalog, aside, step

    def folder(self, name: str) -> Path:
        """Return where a table lies."""
        place = local_path(self._catalog.uri(TableName.parse(name)))
        if place is None:
            raise Refused(
                f"{self._catalog.root} is no folder", "a standby keeps its warehouse on a disk of its own"
            )
        return place

    def judge(self, old: Barrier | None, new: Barrier) -> None:
        """Raise Refused where a table of the barrier would take the place of one that is not replicated."""
        fence = self._catalog.fence()
        known = {*fence.hidden, *fence.tables} | ({table.name for table in old.tables.values()} if old else set())
        for table in new.tables.values():
            if table.name not in known and versions(self.folder(table.name)):
                raise Refused(
                    f"the table {table.name} is here already and is not the primary's",
                    f"rename it: isthmus table rename {table.name} NEW; then the round goes on with the next turn",
                )

    def lay(self, old: Barrier | None, new: Barrier, find: Find, again: Iterable[bytes]) -> dict[str, Path]:
        """Lay every file of a barrier that is not there; return by name the tables that wait for their place.

        `again` names contents whose files are laid anew though they are there: they were damaged.
        """
        anew = frozenset(again)
        before = {table.name: identity for identity, table in old.tables.items()} if old else {}
        hidden = set(self._catalog.fence().hidden)
        waiting: dict[str, Path] = {}
        laid: list[tuple[Path, TableAt, list[HeldFile]]] = []
        for identity, table in new.tables.items():
            folder, files = self.folder(table.name), new.files[identity]
            there: Mapping[str, HeldFile] = {}
            if before.get(table.name) == identity and old is not None:
                there = old.files[identity]
            elif table.name not in hidden and versions(folder):
                waiting[table.name] = folder.with_name(f".{folder.name}.{new.key}.coming")
                folder = waiting[table.name]
            fresh = [
                file
                for file in files.values()
                if there.get(file.path) != file or file.digest in anew or not (folder / file.path).exists()
            ]
            laid.append((folder, table, fresh))
        for folder, table, fresh in laid:
            self._lay_files(folder, (one for one in fresh if one.path != table.manifest), find)
        self._step("landing laid")
        for folder, table, fresh in laid:
            self._clear(folder, table)
            self._lay_files(folder, (one for one in fresh if one.path == table.manifest), find)
            with replacing(folder / HINT) as hint:
                hint.write(json.dumps({"version": table.version}).encode())
        self._step("landing manifests")
        return waiting

    def take_places(self, waiting: Mapping[str, Path]) -> None:
        """Put tables that waited under their names; what was there goes aside."""
        for name, coming in waiting.items():
            folder = self.folder(name)
            if coming.is_dir():
                if folder.is_dir():
                    self._put_aside(folder, f"{folder.parent.name}.{folder.name}.{coming.name}")
                coming.rename(folder)
                sync_folder(folder.parent)
            self._step("landing placed")

    def above(self, folder: Path, version: int) -> list[Path]:
        """List the manifests of versions after one."""
        return [path for number, path in sorted(versions(folder).items()) if number > version]

    def put_away(self, path: Path, label: str) -> Path:
        """Move a manifest that nobody shows aside."""
        return self._put_aside(path, f"{label}.{path.name}")

    def _clear(self, folder: Path, table: TableAt) -> None:
        """Put aside what was written here behind the fence's back: the version by another naming."""
        for number, path in versions(folder).items():
            if number == table.version and path != folder / table.manifest:
                self.put_away(path, table.name)

    def _lay_files(self, folder: Path, files: Iterable[HeldFile], find: Find) -> None:
        folders: dict[Path, None] = {}
        for file in files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            link(find(file), target)
            self._step("landing linked")
            at = target.parent
            while at not in folders and at != folder.parent.parent.parent.parent:
                folders[at] = None
                at = at.parent
        for at in folders:
            sync_folder(at)

    def _put_aside(self, path: Path, label: str) -> Path:
        self._aside.mkdir(parents=True, exist_ok=True)
        target, number = self._aside / label, 0
        while target.exists():
            number += 1
            target = self._aside / f"{label}.{number}"
        path.rename(target)
        sync_folder(path.parent)
        return target


def remove(path: Path) -> None:
    """Remove a file or a folder; nothing happens where it has gone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
