"""Are the tables of two sites the same at a barrier? Their sums are taken on each side, carried, and compared.

A table's files prove it first: where both sides hold the same files, by the BLAKE3 of what is on their disks now,
the rows are the same and nothing is decoded. Where they do not, or nobody asked for files, the sums of the rows
decide. Both are taken at the versions of one barrier, so what is written meanwhile makes no difference:

1. Each side takes `sums_of(barrier, folders, decode=())`, which reads files alone, and one gets the other's.
2. Where tables are `undecided`, both take `sums_of(barrier, folders, files=False, decode=undecided)`.
3. `compare` tells, of the sums `joined` on each side, what is not the same.

A standby proves its files alone: `compare(promised(barrier), sums_of(barrier, folders, decode=()))`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from isthmus.core.errors import Corrupt, IsthmusError
from isthmus.core.progress import Report, silent
from isthmus.recovery.barrier import Barrier, HeldFile, TableAt
from isthmus.recovery.copying import THREADS, damages_of
from isthmus.recovery.differences import Difference, Sums, TableSums, compare, joined, undecided
from isthmus.warehouse.checksum import RowSum, table_sum
from isthmus.warehouse.place import as_uri
from isthmus.warehouse.table import Table

__all__ = ["Difference", "Sums", "TableSums", "compare", "joined", "promised", "rows_at", "sums_of", "undecided"]


def promised(barrier: Barrier) -> dict[str, TableSums]:
    """Return what a barrier says of its files, as sums without rows: what a site that stands at it should hold."""
    return {
        table.name: TableSums(
            table.name, identity, table.version, None, tuple(sorted(barrier.files[identity].values()))
        )
        for identity, table in barrier.tables.items()
    }


def sums_of(
    barrier: Barrier,
    folders: Mapping[str, Path],
    *,
    files: bool = True,
    decode: Collection[str] | None = None,
    threads: int = THREADS,
    width: int | None = None,
    report: Report = silent,
) -> dict[str, TableSums]:
    """Sum what lies in the folders of a barrier's tables, given by identity, at the versions of the barrier.

    With `files`, each file of the barrier is read and digested by `threads`. The rows of the tables named in
    `decode` are summed, those of all tables where it is None, reading `width` fragments at once. What cannot be
    read is told in `TableSums.error`. Raises InputError for a type that has no sum.
    """
    found = {}
    for identity, table in barrier.tables.items():
        sums = TableSums(table.name, identity, table.version)
        place = folders.get(identity)
        if place is None:
            found[table.name] = replace(sums, error="no folder is known for it")
            continue
        if files:
            sums = _with_files(sums, tuple(barrier.files[identity].values()), place, threads, report)
        if not sums.error and (decode is None or table.name in decode):
            sums = _with_rows(sums, table, place, width)
        found[table.name] = sums
    return found


def _with_files(
    sums: TableSums, wanted: tuple[HeldFile, ...], place: Path, threads: int, report: Report
) -> TableSums:
    try:
        damages = {damage.wanted.path: damage for damage in damages_of(wanted, place, threads, report)}
    except OSError as error:
        return replace(sums, error=f"its files cannot be read: {error}")
    sound = [file for file in wanted if file.path not in damages]
    others = [
        HeldFile(path, damage.size, damage.digest)
        for path, damage in damages.items()
        if damage.size is not None and damage.digest is not None
    ]
    return replace(sums, files=tuple(sorted(sound + others)))


def _with_rows(sums: TableSums, table: TableAt, place: Path, width: int | None) -> TableSums:
    try:
        return replace(sums, rows=rows_at(table, place, width))
    except Corrupt as error:
        return replace(sums, error=error.what)


def rows_at(table: TableAt, place: Path, width: int | None = None) -> RowSum:
    """Open a table of a barrier in a folder, at its version, and sum its rows.

    Raises Corrupt where that cannot be read or is another table, InputError for a type that has no sum.
    """
    try:
        opened = Table(as_uri(place), version=table.version)
        identity, rows = opened.identity, table_sum(opened, width)
    except IsthmusError:
        raise
    except BaseException as error:
        # Lance raises any of these on damaged files, and a panic of its own that is no Exception
        if not isinstance(error, (OSError, ValueError, RuntimeError)) and type(error).__name__ != "PanicException":
            raise
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise Corrupt(f"{table.name} cannot be read at version {table.version}: {first}", "repair it") from error
    if identity != table.identity:
        raise Corrupt(f"what lies in {place} is not the table {table.name} but another", "restore it")
    return rows
