"""The settings of the job type `batch`: which files are a day's, which columns mean what, in which units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from isthmus.core.settings import setting
from isthmus.loop.sources.dated import names_day


@dataclass(frozen=True, slots=True)
class ColumnSettings:
    """The columns of the table of states: one row is one agent at one time."""

    agent: str = setting("column of the agent's id")
    x: str = setting("column of the position")
    y: str = setting("column of the position")
    step: str = setting("column that counts the steps; units.step_s says how long one is", default="")
    time: str = setting("column of the time, instead of step", default="")
    record: str = setting("column of the recording's id; without it each file is one recording", default="")
    heading: str = setting("column of the heading; without it the path gives it", default="")
    v: str = setting("column of the speed; without it the path gives it", default="")
    a: str = setting("column of the acceleration; without it it stays unknown", default="")
    length: str = setting("column of the agent's length", default="")
    width: str = setting("column of the agent's width", default="")
    kind: str = setting("column of what the agent is", default="")
    lane: str = setting("column of the lane, a number or a name", default="")
    day: str = setting("column of the day, where day_from is column", default="")
    only: str = setting("column of a flag: rows where it is not true are left out", default="")

    def __post_init__(self) -> None:
        if bool(self.step) == bool(self.time):
            raise ValueError("give either step or time")

    def chosen(self) -> Mapping[str, str]:
        """Return the columns that are set, by quantity."""
        return {name: column for name in self.__slots__ if (column := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class UnitSettings:
    """The units that the columns are in."""

    position: Literal["m", "ft", "cm", "km"] = setting("unit of x and y", default="m")
    size: Literal["m", "ft", "cm", "km"] = setting("unit of length and width", default="m")
    speed: Literal["m/s", "km/h", "mph", "ft/s", "kn"] = setting("unit of v", default="m/s")
    accel: Literal["m/s2", "ft/s2", "g"] = setting("unit of a", default="m/s2")
    angle: Literal["rad", "deg", "compass_deg"] = setting(
        "unit of heading; compass_deg counts clockwise from north", default="rad"
    )
    time: Literal["s", "ms", "us", "ns"] = setting("unit of time, where it is a number", default="s")
    step_s: float = setting("length of a step", default=0.1, minimum=0.001, maximum=10.0, unit="s")


@dataclass(frozen=True, slots=True)
class ConstantSettings:
    """What holds for agents of which the table does not say it."""

    length: float = setting("length of an agent", default=4.8, minimum=0.05, maximum=60.0, unit="m")
    width: float = setting("width of an agent", default=2.0, minimum=0.05, maximum=10.0, unit="m")
    kind: str = setting("what an agent is", default="car")


@dataclass(frozen=True, slots=True)
class RecordTableSettings:
    """A second table with one row for each recording."""

    file: str = setting("the table's file or folder, below folder")
    record: str = setting("column of the recording's id")
    tags: str = setting("column of the tags: a list, or a text with commas", default="")
    leak_group: str = setting("column of the leak group; empty means the recording's own id", default="")
    only: str = setting("column of a flag: recordings where it is not true are left out", default="")

    def chosen(self) -> Mapping[str, str]:
        """Return the columns that are set, by meaning."""
        names = ("record", "tags", "leak_group", "only")
        return {name: column for name in names if (column := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Where the tables of a day are and what is read from them."""

    folder: str = setting("folder or URI; {day} stands for 2026-11-20, {yyyymmdd} for 20261120", path=True)
    columns: ColumnSettings = setting("which column means what")
    files: str = setting("which files below folder, as a pattern; all of the format otherwise", default="")
    format: Literal["parquet", "csv"] = setting("format of the files", default="parquet")
    delimiter: str = setting("what separates the columns of a CSV file", default=",")
    day_from: Literal["auto", "path", "partition", "column", "any"] = setting(
        "which day a row is of: of the {day} in folder (path), of a folder such as day=2026-11-20 (partition), "
        "of the day column (column), or of any day (any)",
        default="auto",
    )
    partition: str = setting("name of the day's partition folders", default="day")
    require_success: bool = setting("refuse a folder without _SUCCESS as not finished", default=True)
    units: UnitSettings = setting("the units of the columns", factory=UnitSettings)
    constants: ConstantSettings = setting("what no column says", factory=ConstantSettings)
    records: RecordTableSettings | None = setting("a table with tags and leak groups", default=None)
    tags: tuple[str, ...] = setting("tags of every record", default=())
    record_s: float = setting(
        "longest record; a longer recording is cut", default=60.0, minimum=4.0, maximum=3600.0, unit="s"
    )
    longest_gap_s: float = setting(
        "longest gap in a track that is bridged", default=0.5, minimum=0.05, maximum=10.0, unit="s"
    )
    rows_per_unit: int = setting("about how many rows one worker reads at a time", default=40_000, minimum=100)

    def __post_init__(self) -> None:
        if self.day_from == "path" and not names_day(self.folder):
            raise ValueError("day_from is path, and folder has no {day} or {yyyymmdd}")
        if self.day_from == "column" and not self.columns.day:
            raise ValueError("day_from is column, and columns.day is not set")
        if len(self.delimiter) != 1:
            raise ValueError("delimiter is not one character")

    @property
    def day_rule(self) -> str:
        """Return what `auto` stands for here: path, column or partition."""
        if self.day_from != "auto":
            return self.day_from
        return "path" if names_day(self.folder) else "column" if self.columns.day else "partition"
