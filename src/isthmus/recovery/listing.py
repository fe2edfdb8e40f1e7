"""The files of one version of a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isthmus.core.errors import InputError
from isthmus.warehouse.place import local_path
from isthmus.warehouse.table import Table


@dataclass(frozen=True, slots=True, order=True)
class TableFile:
    """A file of a table: its path inside the table's folder, size in bytes, kind in Lance's words."""

    path: str
    size: int
    kind: str


def files_of(table: Table) -> tuple[TableFile, ...]:
    """List the files of the version that is read. Raises InputError for a shallow clone, OSError, ValueError."""
    version, root = table.version, local_path(table.uri)
    assert root is not None
    found = []
    for row in table.dataset.tracked_files(min_version=version).read_all().to_pylist():
        if row["version"] != version:
            continue
        if row["base_uri"].rstrip("/") != table.uri:
            raise InputError(
                f"{table.uri} is a shallow clone: its files lie in {row['base_uri']}", "publish a full copy of it"
            )
        found.append(TableFile(row["path"], (Path(root) / row["path"]).stat().st_size, row["type"]))
    return tuple(sorted(found))
