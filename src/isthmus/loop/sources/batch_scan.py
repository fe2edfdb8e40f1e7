"""What the job type `batch` reads: which recordings a file holds, and the rows of a unit."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isthmus.core.errors import SourceError
from isthmus.loop.record import Record, Reject, Unit
from isthmus.loop.sources import units
from isthmus.loop.sources.batch_settings import BatchSettings
from isthmus.loop.sources.rows import NUMBERS, TEXTS, Recording, Rows, groups, records_of_rows
from isthmus.loop.sources.table import BROKEN, ColumnMissing, Table, numbers, texts
from isthmus.loop.sources.weather import refuse_bad_weather


@dataclass(slots=True)
class Counted:
    """What a file holds: rows of each recording, or the first and last time in s where it names none."""

    rows: int = 0
    records: dict[Any, int] = field(default_factory=dict)
    first: float = float("inf")
    last: float = float("-inf")


def count(path: str, filesystem: Any, settings: BatchSettings, day: datetime.date) -> Counted | tuple[str, str]:
    """Count a file's rows by recording, or say why it cannot be read (reason, detail)."""
    columns, found = settings.columns, Counted()
    try:
        table = Table.open(path, filesystem, settings.format, settings.delimiter)
        table.require(columns.chosen())
        clock = columns.record or columns.step or columns.time
        for batch in table.batches([clock], _condition(table, settings, day)):
            found.rows += batch.num_rows
            if columns.record:
                for entry in pc.value_counts(batch.column(0)).to_pylist():
                    found.records[entry["values"]] = found.records.get(entry["values"], 0) + entry["counts"]
            else:
                seconds = _in_seconds(numbers(batch.column(0)), batch.column(0).type, settings)
                if np.isfinite(seconds).any():
                    found.first = min(found.first, float(np.nanmin(seconds)))
                    found.last = max(found.last, float(np.nanmax(seconds)))
    except ColumnMissing as error:
        return "missing_field", str(error)
    except BROKEN as error:
        refuse_bad_weather(error, path)
        return "unreadable", _one_line(error)
    if not found.rows and _condition(table, settings, day) is None:
        return "empty", "the file has no rows"
    if found.rows and not columns.record and found.first > found.last:
        return "not_finite", "no row has a time"
    return found


def _condition(table: Table, settings: BatchSettings, day: datetime.date) -> Any:
    columns, condition = settings.columns, None
    if columns.only:
        condition = table.is_true(columns.only)
    if settings.day_rule == "column":
        of_day = table.is_day(columns.day, day)
        condition = of_day if condition is None else condition & of_day
    return condition


def recordings(
    settings: BatchSettings, root: str, filesystem: Any, source: str
) -> dict[str, tuple[str, tuple[str, ...]]] | None:
    """Read the second table: (leak group, tags) by recording; None where the settings name no such table.

    Raises SourceError where it is missing or broken: without it no recording has its leak group.
    """
    wanted = settings.records
    if wanted is None:
        return None
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    try:
        for path in _parts(filesystem, f"{root}/{wanted.file}"):
            table = Table.open(path, filesystem, _format_of(path, settings.format), settings.delimiter)
            table.require(wanted.chosen())
            condition = table.is_true(wanted.only) if wanted.only else None
            columns = [column for meaning, column in wanted.chosen().items() if meaning != "only"]
            for batch in table.batches(list(dict.fromkeys(columns)), condition):
                ids = texts(batch.column(wanted.record))
                leak_groups = texts(batch.column(wanted.leak_group)) if wanted.leak_group else ids
                tags = batch.column(wanted.tags).to_pylist() if wanted.tags else [None] * len(ids)
                for name, group, told in zip(ids, leak_groups, tags, strict=True):
                    found[str(name)] = (str(group) or str(name), _tags(told))
    except (ColumnMissing, *BROKEN) as error:
        raise SourceError(f"source {source!r}: {wanted.file} cannot be read: {_one_line(error)}") from error
    return found if wanted.only else _Open(found)


class _Open(dict[str, tuple[str, tuple[str, ...]]]):
    """Every recording is in it: one that the table does not tell of is its own leak group and has no tags."""

    def __contains__(self, record: object) -> bool:
        return True


def _parts(filesystem: Any, path: str) -> list[str]:
    if not filesystem.isdir(path):
        return [path]
    listed = sorted(filesystem.find(path))
    return [part for part in listed if not part.rpartition("/")[2].startswith((".", "_"))]


def _format_of(path: str, otherwise: str) -> str:
    lower = path.lower()
    return "parquet" if lower.endswith(".parquet") else "csv" if lower.endswith((".csv", ".csv.gz")) else otherwise


def _tags(told: Any) -> tuple[str, ...]:
    if told is None:
        return ()
    if isinstance(told, str):
        return tuple(tag.strip() for tag in told.split(",") if tag.strip())
    return tuple(str(tag) for tag in told if tag is not None)


def read_unit(unit: Unit, filesystem: Any, settings: BatchSettings) -> Iterator[Record | Reject]:
    """Read the rows of a unit and make its records. A broken file makes one Reject for each recording of it."""
    args = unit.args
    pieces: list[Rows] = []
    notes: list[Reject] = []
    try:
        for path in args["paths"]:
            table = Table.open(path, filesystem, settings.format, settings.delimiter)
            condition = _condition(table, settings, datetime.date.fromisoformat(args["day"]))
            if "records" in args:
                of_unit = pc.field(settings.columns.record).isin(args["records"])
                condition = of_unit if condition is None else condition & of_unit
            pieces.extend(_rows(table, condition, args.get("stretch"), settings))
            if path in args["first"] and table.skipped:
                line, what = table.skipped[0]
                detail = f"{len(table.skipped)} broken lines are left out; line {line} has {what}"
                notes.append(Reject(path.rpartition("/")[2], "unreadable", path, detail))
    except BROKEN as error:
        refuse_bad_weather(error, args["where"])
        for record in args.get("known", None) or [args["name"]]:
            yield Reject(str(record), "unreadable", args["where"], _one_line(error))
        return
    yield from notes
    if not pieces:
        return
    rows = _joined(pieces)
    if "stretch" in args:
        alone = Recording(args["name"], args["leak_group"])
        yield from records_of_rows(rows, alone, settings, args["where"])
        return
    for record, chosen in groups(rows.texts["record"]):
        leak_group, tags = args["known"].get(record) or (record, ())
        yield from records_of_rows(
            rows.take(chosen), Recording(record, leak_group, tags), settings, f"{args['where']}, record {record}"
        )


def _rows(
    table: Table, condition: Any, stretch: tuple[float, float] | None, settings: BatchSettings
) -> Iterator[Rows]:
    chosen = {name: column for name, column in settings.columns.chosen().items() if name not in ("day", "only")}
    clock = settings.columns.step or settings.columns.time
    if stretch is not None:
        condition = _pushed_down(table, clock, stretch, condition, settings)
    for batch in table.batches(list(dict.fromkeys(chosen.values())), condition):
        if stretch is not None:  # before anything else of the batch is converted
            seconds = _in_seconds(numbers(batch.column(clock)), table.type_of(clock), settings)
            inside = ~np.isfinite(seconds) if stretch[1] == math.inf else np.zeros(len(seconds), bool)
            batch = batch.filter(pa.array(inside | ((seconds >= stretch[0]) & (seconds < stretch[1]))))
            if not batch.num_rows:
                continue
        told: dict[str, NDArray[np.float64]] = {}
        named: dict[str, NDArray[np.object_]] = {}
        for name, column in chosen.items():
            array = batch.column(column)
            if name in TEXTS:
                named[name] = texts(array)
            elif name in NUMBERS:
                told[name] = numbers(array)
            else:
                told[name], named[name] = numbers(array), texts(array)
        if "time" in told:
            told["time"] = _in_seconds(told["time"], table.type_of(clock), settings)
        yield Rows(told, named)


def _pushed_down(
    table: Table, clock: str, stretch: tuple[float, float], condition: Any, settings: BatchSettings
) -> Any:
    """Let the scan drop rows of other times; the bounds are a millisecond too wide, `_rows` is exact."""
    kind = table.type_of(clock)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return condition
    scale = settings.units.step_s if settings.columns.step else units.TIME[settings.units.time]
    there = pc.field(clock).cast(pa.float64(), safe=False)
    near = there >= (stretch[0] - 1e-3) / scale
    near = (
        (near | there.is_null(nan_is_null=True))
        if stretch[1] == math.inf
        else (near & (there <= (stretch[1] + 1e-3) / scale))
    )
    return near if condition is None else condition & near


def _joined(pieces: list[Rows]) -> Rows:
    told = {name: np.concatenate([piece.numbers[name] for piece in pieces]) for name in pieces[0].numbers}
    named = {name: np.concatenate([piece.texts[name] for piece in pieces]) for name in pieces[0].texts}
    if "lane" in named:  # numbers where all of them are, else names
        if (np.isfinite(told["lane"]) | (named["lane"] == "")).all():
            del named["lane"]
        else:
            del told["lane"]
    return Rows(told, named)


def _in_seconds(values: NDArray[np.float64], kind: Any, settings: BatchSettings) -> NDArray[np.float64]:
    """Bring a step or a time column to seconds; time stamps are in seconds already."""
    if settings.columns.step:
        return values * settings.units.step_s
    if str(kind).startswith("timestamp"):
        return values
    return values * units.TIME[settings.units.time]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
