"""The job type `batch`: folders of Parquet or CSV as Spark or SQL jobs write them.

A unit of work is some recordings of a file, or some time of it where the table names no recordings. Tables that
are sorted by recording are read fastest: a unit then touches one file, and few row groups of it.
"""

from __future__ import annotations

import datetime
import fnmatch
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from isthmus.core.errors import MissingExtra, SourceError
from isthmus.loop.record import Record, Reject, Unit
from isthmus.loop.sources.batch_settings import BatchSettings
from isthmus.loop.sources.dated import fixed_part, for_day, names_day, record_names

SUFFIXES = {"parquet": (".parquet", ".parq", ".pq"), "csv": (".csv", ".csv.gz", ".csv.bz2", ".txt", ".tsv")}
SUCCESS = "_SUCCESS"


@dataclass(frozen=True, slots=True)
class _File:
    """One file of the day: its path in the filesystem, its path below the folder, and what changes with it."""

    path: str
    below: str
    stamp: str


@dataclass(slots=True)
class _Group:
    """Recordings that one worker reads together."""

    files: tuple[_File, ...]
    records: list[Any] = field(default_factory=list)
    rows: int = 0


class BatchJob:
    """Reads the tables of a day."""

    Settings: ClassVar[type[BatchSettings]] = BatchSettings

    def __init__(self, name: str, settings: BatchSettings) -> None:
        self.name = name
        self.settings = settings

    def discover(self, day: datetime.date) -> Sequence[Unit]:
        """List the day's units.

        Raises SourceError where the folder is missing, not finished (no _SUCCESS), or where no file has the
        columns that the settings name.
        """
        from isthmus.loop.sources import batch_scan

        files = self._files(day)
        if not files:
            return []
        filesystem = self._filesystem()[0]
        recordings = batch_scan.recordings(self.settings, self._root(day)[1], filesystem, self.name)
        names = record_names([file.below for file in files])
        faults: dict[str, tuple[str, str]] = {}
        counts: dict[str, batch_scan.Counted] = {}
        for file in files:
            found = batch_scan.count(file.path, filesystem, self.settings, day)
            if isinstance(found, batch_scan.Counted):
                counts[file.below] = found
            else:
                faults[file.below] = found
        if faults and not counts and all(reason == "missing_field" for reason, _ in faults.values()):
            below, (_, detail) = next(iter(faults.items()))
            raise SourceError(f"source {self.name!r}: {below}: {detail}")
        units = [
            self._unit(day, f"{file.below}", [file], {"fault": faults[file.below], "name": names[file.below]})
            for file in files
            if file.below in faults
        ]
        readable = [file for file in files if file.below in counts]
        if self.settings.columns.record:
            units += self._by_record(day, readable, counts, recordings)
        else:
            units += self._by_time(day, readable, counts, names)
        return units

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """Read one unit. A broken file is a Reject, and nothing of the unit goes in."""
        if "fault" in unit.args:
            reason, detail = unit.args["fault"]
            yield Reject(unit.args["name"], reason, unit.args["where"], detail)
            return
        from isthmus.loop.sources import batch_scan

        yield from batch_scan.read_unit(unit, self._filesystem()[0], self.settings)

    def _filesystem(self) -> tuple[Any, str]:
        try:
            import fsspec.core
        except ImportError as error:
            raise MissingExtra.named("fsspec", "warehouse") from error
        filesystem, path = fsspec.core.url_to_fs(self.settings.folder)
        return filesystem, path

    def _root(self, day: datetime.date) -> tuple[Any, str]:
        filesystem, path = self._filesystem()
        return filesystem, for_day(str(path), day).rstrip("/")

    def _files(self, day: datetime.date) -> list[_File]:
        chosen = self.settings
        filesystem, root = self._root(day)
        pattern = str(self._filesystem()[1])
        base = fixed_part(pattern) if names_day(pattern) else pattern
        if not filesystem.exists(base):
            raise SourceError(
                f"source {self.name!r}: there is no folder {base!r}", "set folder to where the tables are"
            )
        if not filesystem.exists(root):
            return []
        listing: Mapping[str, Any] = filesystem.find(root, detail=True)
        below = {path: path[len(root) :].lstrip("/") for path in sorted(listing)}
        tables = [path for path in below if self._is_table(below[path])]
        if chosen.day_rule == "partition":
            tables = self._partition(tables, below, day)
        elif not tables and chosen.require_success and SUCCESS not in below.values():
            raise SourceError(f"source {self.name!r}: {root} is not finished: it has no {SUCCESS}", _UNFINISHED)
        if chosen.require_success:
            self._require_success(tables, below, root)
        return [_File(path, below[path], _stamp(listing[path])) for path in tables]

    def _is_table(self, below: str) -> bool:
        chosen, parts = self.settings, below.split("/")
        if any(part.startswith((".", "_")) and "=" not in part for part in parts):
            return False  # Spark's own: _SUCCESS, _temporary, .part-0000.crc
        if chosen.records and (below == chosen.records.file or below.startswith(chosen.records.file + "/")):
            return False
        if chosen.files:
            return fnmatch.fnmatch(below, chosen.files) or below.startswith(chosen.files.rstrip("/") + "/")
        return below.lower().endswith(SUFFIXES[chosen.format])

    def _partition(self, tables: list[str], below: Mapping[str, str], day: datetime.date) -> list[str]:
        key = self.settings.partition
        dated = [path for path in tables if any(part.startswith(f"{key}=") for part in below[path].split("/"))]
        if tables and not dated:
            raise SourceError(
                f"source {self.name!r}: no file lies in a folder {key}=…",
                "put {day} into folder, name a day column, or set day_from to any",
            )
        wanted = {f"{key}={day.isoformat()}", f"{key}={day:%Y%m%d}"}
        return [path for path in dated if wanted & set(below[path].split("/"))]

    def _require_success(self, tables: list[str], below: Mapping[str, str], root: str) -> None:
        finished = {path.rpartition("/")[0] for path in below.values() if path.rpartition("/")[2] == SUCCESS}
        for path in tables:
            parts = below[path].split("/")[:-1]
            if not any("/".join(parts[:depth]) in finished for depth in range(len(parts) + 1)):
                folder = "/".join([root, *parts])
                raise SourceError(
                    f"source {self.name!r}: {folder} is not finished: it has no {SUCCESS}", _UNFINISHED
                )

    def _by_record(
        self,
        day: datetime.date,
        files: list[_File],
        counts: Mapping[str, Any],
        recordings: Mapping[str, Any] | None,
    ) -> list[Unit]:
        homes: dict[Any, list[_File]] = {}
        rows: dict[Any, int] = {}
        for file in files:
            for record, count in counts[file.below].records.items():
                homes.setdefault(record, []).append(file)
                rows[record] = rows.get(record, 0) + count
        made: list[_Group] = []
        for record, home in homes.items():
            if recordings is not None and str(record) not in recordings:
                continue
            if not made or made[-1].files != tuple(home) or made[-1].rows >= self.settings.rows_per_unit:
                made.append(_Group(tuple(home)))
            made[-1].records.append(record)
            made[-1].rows += rows[record]
        units: list[Unit] = []
        seen: set[str] = set()
        for group in made:
            first = tuple(file.path for file in group.files if file.path not in seen)
            seen.update(first)
            known = {str(record): (recordings or {}).get(str(record)) for record in group.records}
            args = {"records": group.records, "known": known, "first": first}
            units.append(self._unit(day, f"{group.files[0].below}#{group.records[0]}", group.files, args))
        return units

    def _by_time(
        self, day: datetime.date, files: list[_File], counts: Mapping[str, Any], names: Mapping[str, str]
    ) -> list[Unit]:
        """Cut each file into stretches of whole records' length."""
        units, record_s = [], self.settings.record_s
        for file in files:
            found = counts[file.below]
            if not found.rows:
                continue
            windows = max(1, math.ceil((found.last - found.first + 1e-9) / record_s))
            each = max(1, round(windows * self.settings.rows_per_unit / found.rows))
            for number in range(0, windows, each):
                until = found.first + (number + each) * record_s if number + each < windows else math.inf
                name = names[file.below] if each >= windows else f"{names[file.below]}-{number:04d}"
                stretch = (found.first + number * record_s, until)
                group = f"{self.name}-{names[file.below]}"
                args = {
                    "stretch": stretch,
                    "name": name,
                    "leak_group": group,
                    "first": (file.path,) * (number == 0),
                }
                units.append(self._unit(day, f"{file.below}#{number}", [file], args))
        return units

    def _unit(self, day: datetime.date, key: str, files: Sequence[_File], args: Mapping[str, Any]) -> Unit:
        whole = {**args, "paths": [file.path for file in files], "where": files[0].path, "day": day.isoformat()}
        text = repr((self.settings, [file.stamp for file in files], whole))
        return Unit(key, hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest(), whole)


_UNFINISHED = "wait for its job, or set require_success = false"


def _stamp(info: Mapping[str, Any]) -> str:
    changed = info.get("mtime") or info.get("LastModified") or info.get("ETag") or info.get("created") or ""
    return f"{info.get('size')}-{changed}"
