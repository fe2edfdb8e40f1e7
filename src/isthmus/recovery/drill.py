"""A drill: what a standby shows is restored to a scratch folder, opened and counted, and the time is taken.

The barrier's files are copied, each proven by its BLAKE3; every table is opened at its version, its rows are
counted and summed, and both are held against what the barrier and, where they are known, the primary's sums say.
The recovery time is that of the copy and of the check together: after it the tables could be used. The report is
signed, and written in any case, also where the disk was full or files were damaged.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from isthmus.core.errors import InputError, IsthmusError
from isthmus.core.ports import Clock
from isthmus.core.progress import Report, silent
from isthmus.recovery.barrier import Barrier, HeldFile, TableAt
from isthmus.recovery.copying import THREADS, Damaged, copy_files
from isthmus.recovery.differences import Sums
from isthmus.recovery.drillreport import DrillReport, Outcome, TableDrill, read_report, write_report
from isthmus.recovery.verify import rows_at
from isthmus.state.files import abandoned
from isthmus.transfer.gate import no_step
from isthmus.transfer.signing import SigningKey
from isthmus.warehouse.name import TableName

__all__ = ["Drill", "DrillReport", "TableDrill", "read_report", "write_report"]

_OF_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT))


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill works with. `folders` are those of the barrier's tables, by identity.

    `expected` are the sums that the primary took at this barrier; of a table that is not among them only the count
    is held against the barrier. `keep` leaves the restored tables in the scratch folder, under the root that the
    report names, where they can be opened as a catalogue. `ticks` counts seconds and never jumps.
    """

    barrier: Barrier
    folders: Mapping[str, Path]
    scratch: Path
    site: str
    clock: Clock
    expected: Sums = field(default_factory=dict)
    keep: bool = False
    threads: int = THREADS
    report: Report = silent
    step: Callable[[str], None] = no_step
    ticks: Callable[[], float] = time.monotonic

    def run(self, path: Path, key: SigningKey) -> DrillReport:
        """Restore, check, measure, and write the signed report to `path`.

        Whatever is wrong with the tables or the scratch folder is told by the report. Raises InputError where
        the scratch folder lies in a folder of a table, OSError where the report cannot be written.
        """
        for folder in self.folders.values():
            if self.scratch.resolve().is_relative_to(folder.resolve()):
                raise InputError(
                    f"the scratch folder {self.scratch} lies in a table", "choose a place outside of the warehouse"
                )
        # what begins with the number of a process is swept away when that process is gone; what is kept is not
        name = f"drill-{self.barrier.key}-{secrets.token_hex(4)}"
        root = self.scratch / (name if self.keep else f"{os.getpid()}-{name}")
        began = self.clock.now()
        try:
            outcome, error, tables, (copy_s, check_s) = self._restored(root)
        finally:
            if not self.keep:
                shutil.rmtree(root, ignore_errors=True)
        self.step("removed")
        files = [file for files in self.barrier.files.values() for file in files.values()]
        found = DrillReport(
            self.site,
            self.barrier.key,
            self.barrier.at,
            began,
            self.clock.now(),
            outcome,
            len(files),
            sum(file.size for file in files),
            copy_s,
            check_s,
            tables,
            error,
            str(root) if self.keep else "",
        )
        write_report(path, found, key)
        self.step("reported")
        return found

    def _restored(self, root: Path) -> tuple[Outcome, str, tuple[TableDrill, ...], tuple[float, float]]:
        """Return the outcome, why, the tables, and the seconds of copy and check."""
        tables = {identity: self._begun(table) for identity, table in self.barrier.tables.items()}
        begin = self.ticks()
        try:
            self._sweep()
            root.mkdir(parents=True)
            self._ask_for_room()
            self.step("begun")
            for identity, table in self.barrier.tables.items():
                tables[identity] = self._copied(tables[identity], table, root)
        except OSError as error:
            outcome: Outcome = "no room" if error.errno in _OF_ROOM else "failed"
            return outcome, str(error), tuple(tables.values()), (self.ticks() - begin, 0.0)
        copied = self.ticks()
        self.step("copied")
        for identity, table in self.barrier.tables.items():
            tables[identity] = self._checked(tables[identity], table, root)
        seconds = (copied - begin, self.ticks() - copied)
        self.step("checked")
        return *_judged(tables.values()), tuple(tables.values()), seconds

    def _begun(self, table: TableAt) -> TableDrill:
        expected = self.expected.get(table.name)
        return TableDrill(
            table.name, table.identity, table.version, table.rows, expected.rows if expected else None
        )

    def _copied(self, so_far: TableDrill, table: TableAt, root: Path) -> TableDrill:
        folder = self.folders.get(table.identity)
        if folder is None:
            return replace(so_far, error="no folder is known for it")
        files, place = _in_order(table, self.barrier.files[table.identity].values()), _place(root, table)
        try:
            copy_files(files, folder, place, self.threads, report=self.report, step=self.step)
        except Damaged as error:
            return replace(so_far, damages=tuple(map(str, error.damages)))
        return so_far

    def _checked(self, so_far: TableDrill, table: TableAt, root: Path) -> TableDrill:
        if so_far.error or so_far.damages:
            return so_far
        try:
            return replace(so_far, found=rows_at(table, _place(root, table)))
        except IsthmusError as error:
            return replace(so_far, error=error.what)

    def _sweep(self) -> None:
        """Remove what a drill left that was killed."""
        for left in self.scratch.glob("[0-9]*-drill-*"):
            if abandoned(left):
                shutil.rmtree(left, ignore_errors=True)

    def _ask_for_room(self) -> None:
        needed = sum(file.size for files in self.barrier.files.values() for file in files.values())
        free = shutil.disk_usage(self.scratch).free
        if free < needed:
            what = f"the drill needs {needed:,} bytes and {free:,} are free"
            raise OSError(errno.ENOSPC, what, str(self.scratch))


def _judged(tables: Iterable[TableDrill]) -> tuple[Outcome, str]:
    wrong = [table for table in tables if not table.sound]
    if not wrong:
        return "restored", ""
    names = ", ".join(table.name for table in wrong)
    damaged = any(table.damages for table in wrong)
    return ("damaged" if damaged else "differs"), f"not as they should be: {names}"


def _in_order(table: TableAt, files: Iterable[HeldFile]) -> list[HeldFile]:
    """Return the files with the manifest last: it makes the others visible."""
    return sorted(files, key=lambda file: (file.path == table.manifest, file.path))


def _place(root: Path, table: TableAt) -> Path:
    name = TableName.parse(table.name)
    return root / name.database / name.schema / f"{name.table}.lance"
