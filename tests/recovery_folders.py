"""Folders of files, as those of a table, and tables with their barrier."""

from __future__ import annotations

import datetime
import random
from pathlib import Path

from blake3 import blake3

from isthmus.recovery.barrier import Barrier, HeldFile, TableAt
from isthmus.warehouse.place import local_path
from isthmus.warehouse.table import Table

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
        paths = {file["path"] for file in table.dataset.tracked_files().to_pylist()}
        of_version = {str(path).removeprefix("/") for path in paths}
        all_held = {file.path: file for file in held(folder)}
        chosen = {path: file for path, file in all_held.items() if path in of_version}
        manifest = next(path for path in chosen if path.startswith("_versions/"))
        rows[table.identity] = TableAt(name, table.identity, table.version, manifest, table.count())
        files[table.identity] = chosen
        folders[table.identity] = folder
    return Barrier(key, AT, rows, files), folders
