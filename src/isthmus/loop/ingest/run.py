"""One ingest from start to end: extract what is missing, commit once, bring the OLAP level."""

from __future__ import annotations

import datetime
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from isthmus.core.errors import Corrupt, IsthmusError, SourceError
from isthmus.core.progress import Progress, Report, silent
from isthmus.loop.extract import ExtractSettings
from isthmus.loop.extract.pool import run_units
from isthmus.loop.ingest.commit import parts, reject_rows, slice_of
from isthmus.loop.ingest.journal import Journal, UnitDone
from isthmus.loop.ingest.states import COMMITTED, EXTRACTING, STAGED
from isthmus.loop.ingest.work import Source, UnitTask, recipe
from isthmus.loop.plugin import one_line
from isthmus.loop.record import Reject, Unit
from isthmus.loop.tables import LoopTables
from isthmus.state.lock import held

_EMPTY = "(empty day)"
_TWICE = "(duplicates)"
"""Entries of the journal that are no units: they hold rejects that belong to the day as a whole."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest brought. `kept` is true where the day gave no scene and earlier rows stay."""

    source: str
    day: datetime.date
    units: int
    scenes: int
    rejects: int
    reasons: tuple[tuple[str, int], ...]
    resumed: bool
    kept: bool


@dataclass(frozen=True, slots=True)
class Ingest:
    """Ingests days of sources into the tables of one site. `staging` is a folder on a local disk."""

    tables: LoopTables
    journal: Journal
    staging: Path
    extract: ExtractSettings
    workers: int = 1
    report: Report = silent

    def __call__(self, source: Source, day: datetime.date) -> Ingested:
        """Bring one day in; the same source and day again replaces what it brought before.

        Raises Busy where this day is being ingested already, or where other ingests write for too long: what was
        read stays staged then, and the same call goes on. Raises SourceError where the source cannot be read.
        """
        folder = self.staging / source.name / day.isoformat()
        with held(folder.with_suffix(".lock"), f"the ingest of {source.name} for {day}"):
            state, resumed = self.journal.open(source.name, day)
            kept = False
            if state in (STAGED, COMMITTED) and self._outdated(source, day):
                state = self.journal.move(source.name, day, "changed")
            if state == STAGED and not self._all_staged(source.name, day, folder):
                state = self.journal.move(source.name, day, "lost")
            if state == EXTRACTING:
                state, kept = self._extract(source, day, folder)
            if state == STAGED:
                try:
                    state = self._commit(source, day, folder)
                except Corrupt:
                    self.journal.keep_only(source.name, day, ())  # the parts are read anew by the next ingest
                    self.journal.move(source.name, day, "lost")
                    raise
            if state == COMMITTED:
                self.tables.level(self.report)
                self.journal.move(source.name, day, "levelled")
            rejects = self._rejects(source.name, day)
            shutil.rmtree(folder, ignore_errors=True)
        entry = next(e for e in self.journal.entries() if (e.source, e.day) == (source.name, day))
        reasons = tuple(Counter(item.reason for item in rejects).most_common())
        return Ingested(source.name, day, entry.units, entry.scenes, entry.rejects, reasons, resumed, kept)

    def _extract(self, source: Source, day: datetime.date, folder: Path) -> tuple[str, bool]:
        units = self._listed(source, day)
        marks = self._marks(source, units)
        folder.mkdir(parents=True, exist_ok=True)
        self.journal.keep_only(source.name, day, [unit.key for unit in units])
        done = self.journal.units(source.name, day)
        ready = {u.key for u in units if self._is_ready(done.get(u.key), marks[u.key], folder)}
        unread = [unit for unit in units if unit.key not in ready]
        count = len(ready)
        self.report(Progress(f"ingest {source.name}", count, len(units), "units"))
        for result in run_units(UnitTask(source, day, self.extract, folder), unread, workers=self.workers):
            unit = result.value or UnitDone(
                result.unit.key,
                result.unit.fingerprint,
                "",
                0,
                (result.reject(),),
            )
            self.journal.add(source.name, day, replace(unit, fingerprint=marks[unit.key]))
            count += 1
            self.report(Progress(f"ingest {source.name}", count, len(units), "units"))
        if not units:
            empty = Reject("", "empty", f"{source.name} {day}", "the source has nothing for this day")
            self.journal.add(source.name, day, UnitDone(_EMPTY, "", "", 0, (empty,)))
        now = self.journal.units(source.name, day)
        scenes, rejects = sum(u.scenes for u in now.values()), sum(len(u.rejects) for u in now.values())
        counts = (len(units), scenes, rejects)
        if not scenes:
            self._write_rejects(source.name, day)
            self.tables.level(self.report)
            return self.journal.move(source.name, day, "nothing", counts), True
        return self.journal.move(source.name, day, "extracted", counts), False

    def _commit(self, source: Source, day: datetime.date, folder: Path) -> str:
        self.report(Progress(f"commit {source.name}", 0, None, "scenes"))
        units = [unit for key, unit in sorted(self.journal.units(source.name, day).items()) if key != _TWICE]
        where = slice_of(source.name, day)
        twice = self.tables.waiting(lambda: self._write_scenes(units, folder, where), self.report)
        self.journal.add(source.name, day, UnitDone(_TWICE, "", "", 0, tuple(twice)))
        rejects = self._write_rejects(source.name, day)
        counts = (len(units), self.tables.scenes.count(where), rejects)
        return self.journal.move(source.name, day, "written", counts)

    def _write_scenes(self, units: list[UnitDone], folder: Path, where: str) -> list[Reject]:
        """Replace the day's scenes and return the records that came twice."""
        twice: list[Reject] = []
        self.tables.scenes.replace(parts(units, folder, twice), where)
        return twice

    def _write_rejects(self, source: str, day: datetime.date) -> int:
        """Replace the day's rejects and return how many there are."""
        rows = reject_rows(source, day, self._rejects(source, day))
        self.tables.waiting(lambda: self.tables.rejects.replace([rows], slice_of(source, day)), self.report)
        return int(rows.num_rows)

    def _listed(self, source: Source, day: datetime.date) -> list[Unit]:
        """List the units of a day. Raises SourceError, whatever a job type of a user raises."""
        try:
            units = list(source.job.discover(day))
        except IsthmusError:
            raise
        except Exception as error:  # a job type may raise anything, and is named for it
            raise SourceError(
                f"source {source.name!r} (job type {source.job_type!r}) cannot list {day}: {one_line(error)}",
                "correct its settings, or the job type",
            ) from error
        twice = [key for key, count in Counter(unit.key for unit in units).items() if count > 1]
        if twice:
            raise SourceError(
                f"source {source.name!r} (job type {source.job_type!r}) lists the unit {twice[0]!r} twice",
                "give each unit of a day a key of its own",
            )
        return units

    def _marks(self, source: Source, units: list[Unit]) -> dict[str, str]:
        """Say for each unit what its part file is made from: the input, and how it is read."""
        made = recipe(source, self.extract)
        return {unit.key: f"{unit.fingerprint} {made}" for unit in units}

    def _outdated(self, source: Source, day: datetime.date) -> bool:
        """Tell whether the source gives something else now than what a killed ingest read.

        A source that cannot be read any more says nothing against what was read when it could.
        """
        try:
            now = self._marks(source, self._listed(source, day))
        except SourceError:
            return False
        done = self.journal.units(source.name, day)
        return now != {key: unit.fingerprint for key, unit in done.items() if key not in (_EMPTY, _TWICE)}

    def _rejects(self, source: str, day: datetime.date) -> list[Reject]:
        units = self.journal.units(source, day)
        return [reject for _, unit in sorted(units.items()) for reject in unit.rejects]

    def _all_staged(self, source: str, day: datetime.date, folder: Path) -> bool:
        return all(self._is_ready(u, u.fingerprint, folder) for u in self.journal.units(source, day).values())

    @staticmethod
    def _is_ready(done: UnitDone | None, fingerprint: str, folder: Path) -> bool:
        if done is None or done.fingerprint != fingerprint:
            return False
        return not done.part or (folder / done.part).is_file()
