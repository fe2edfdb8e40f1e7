"""Folders of files, as those of a table, and tables with their barrier."""

from __future__ import annotations

import datetime
import random
from pathlib import Path

from blake3 import blake3

from isthmus.recovery.barrier import Barrier, HeldFile, TableAt
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.files import files_of
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import local_path
from isthmus.warehouse.table import Table
from warehouse_rows import SMALL, batches, row

AT = datetime.datetime(2026, 11, 20, 2, tzinfo=datetime.UTC)


def filled(folder: Path, small: int = 5, large: int = 1, seed: int = 1) -> Path:
    """A folder with files of few bytes, an empty one, and some of more than a megabyte."""
    dice = random.Random(seed)
    for number in range(small):
        place = folder / "data" / f"{number}.lance"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(dice.randbytes(number * 100))
    for number in range(large):
        (folder / "data" / f"large{number}.lance").write_bytes(dice.randbytes((1 << 20) + number + 1))
    (folder / "_versions").mkdir()
    (folder / "_versions" / "1.manifest").write_bytes(dice.randbytes(50))
    return folder


def held(folder: Path) -> list[HeldFile]:
    """The files of a folder as they are now, manifests last."""
    files = [place for place in folder.rglob("*") if place.is_file() and not place.name.startswith(".")]
    files.sort(key=lambda place: (place.parent.name == "_versions", place))
    return [_held(folder, place) for place in files]


def _held(folder: Path, place: Path) -> HeldFile:
    content = place.read_bytes()
    return HeldFile(str(place.relative_to(folder)), len(content), blake3(content).digest())


def barrier_of(tables: dict[str, Table], key: str = "20261120_020000") -> tuple[Barrier, dict[str, Path]]:
    """The barrier of tables at their version, and the folder of each by identity."""
    rows, files, folders = {}, {}, {}
    for name, table in tables.items():
        folder = local_path(table.uri)
        assert folder is not None
        chosen = {file.path: _held(folder, folder / file.path) for file in files_of(table)}
        manifest = next(file.path for file in files_of(table) if file.kind == "manifest")
        rows[table.identity] = TableAt(name, table.identity, table.version, manifest, table.count())
        files[table.identity] = chosen
        folders[table.identity] = folder
    return Barrier(key, AT, rows, files), folders


def two_tables(root: Path) -> dict[str, Table]:
    """Two tables with updated and deleted rows, by name."""
    tables = {}
    for number, name in enumerate(("loop.drive.first", "loop.other.second")):
        table = Catalog(root).create(TableName.parse(name), SMALL, rows_per_fragment=20)
        table.append(batches([row(f"r{i}", 1, i) for i in range(50 + number)], 50))
        table.delete("id = 'r7'")
        table.replace(batches([row("r9", 1, 90)]), "id = 'r9'")
        tables[name] = table
    return tables


class Standing:
    """A clock that stands still."""

    def __init__(self, at: datetime.datetime = AT) -> None:
        self.at = at

    def now(self) -> datetime.datetime:
        return self.at
