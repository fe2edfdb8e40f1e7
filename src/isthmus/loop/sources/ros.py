"""The job type `ros`: ROS 1 bags and ROS 2 MCAP files, read without ROS.

A file is a unit of work; what lies in it is cut into records of some seconds that share one leak group.
"""

from __future__ import annotations

import datetime
import glob
import hashlib
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from isthmus.core.errors import SourceError
from isthmus.core.settings import setting
from isthmus.loop.record import Record, Reject, Unit
from isthmus.loop.sources.dated import fixed_part, for_day, names_day, record_names

SUFFIXES = (".bag", ".mcap", ".db3")


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """Which fields of a topic's messages give what. A field is a dotted path, such as `pose.position.x`."""

    x: str = setting("field of the position", default="")
    y: str = setting("field of the position", default="")
    latitude: str = setting("field of the position in degrees, instead of x", default="")
    longitude: str = setting("field of the position in degrees, instead of y", default="")
    heading: str = setting("field of the heading; without it the path gives it", default="")
    orientation: str = setting("field of a quaternion whose yaw is the heading", default="")
    v: str = setting("field of the speed; without it the path gives it", default="")
    a: str = setting("field of the acceleration along the vehicle", default="")
    length_unit: Literal["m", "ft", "cm", "km"] = setting("unit of x and y", default="m")
    speed_unit: Literal["m/s", "km/h", "mph", "ft/s", "kn"] = setting(
        "unit of v: m/s, km/h, mph, ft/s, kn", default="m/s"
    )
    accel_unit: Literal["m/s2", "ft/s2", "g"] = setting("unit of a: m/s2, ft/s2, g", default="m/s2")
    angle_unit: Literal["rad", "deg", "compass_deg"] = setting(
        "unit of heading: rad, deg, or compass_deg (clockwise from north)", default="rad"
    )

    def __post_init__(self) -> None:
        if not self.fields():
            raise ValueError("it names no message field")
        if bool(self.x) != bool(self.y) or bool(self.latitude) != bool(self.longitude):
            raise ValueError("a position needs both x and y, or both latitude and longitude")
        if self.x and self.latitude:
            raise ValueError("give x and y or latitude and longitude, not both")
        if self.heading and self.orientation:
            raise ValueError("give heading or orientation, not both")

    def fields(self) -> Mapping[str, str]:
        """Return the paths that are set, by quantity."""
        names = ("x", "y", "latitude", "longitude", "heading", "orientation", "v", "a")
        return {name: path for name in names if (path := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One moving thing in a bag and the topics that tell of it."""

    topics: Mapping[str, TopicSettings] = setting("its topics, each with its message fields")
    length: float = setting("its length", default=4.8, minimum=0.05, maximum=60.0, unit="m")
    width: float = setting("its width", default=2.0, minimum=0.05, maximum=10.0, unit="m")
    kind: str = setting("what it is", default="car")
    ego: bool = setting("make scenes that follow it", default=True)

    def __post_init__(self) -> None:
        told: dict[str, str] = {}
        for topic, chosen in self.topics.items():
            for quantity in chosen.fields():
                meaning = {"latitude": "x", "longitude": "y", "orientation": "heading"}.get(quantity, quantity)
                if told.setdefault(meaning, topic) != topic:
                    raise ValueError(f"both {told[meaning]} and {topic} give {meaning}")
        if "x" not in told:
            raise ValueError("no topic gives a position: set x and y, or latitude and longitude")


@dataclass(frozen=True, slots=True)
class RosSettings:
    """Where the bags of a day are and what is read from them."""

    files: str = setting(
        "folder or pattern of .bag and .mcap files; {day} stands for 2026-11-20, {yyyymmdd} for 20261120",
        path=True,
    )
    agents: Mapping[str, AgentSettings] = setting("the agents, by the id that they get")
    day_from: Literal["auto", "path", "start", "any"] = setting(
        "which day a file is of: of the {day} in its path; of its first message (start); of any day (any)",
        default="auto",
    )
    timezone: str = setting("where the day of a file's first message begins", default="UTC")
    time: Literal["header", "log"] = setting(
        "time of a message: its header's stamp where it has one, or when it was logged", default="header"
    )
    record_s: float = setting("longest record", default=20.0, minimum=4.0, maximum=3600.0, unit="s")
    longest_gap_s: float = setting(
        "longest silence of a topic that is bridged; a longer one ends the track",
        default=0.5,
        minimum=0.05,
        maximum=10.0,
        unit="s",
    )
    leak_group: Literal["file", "folder", "day"] = setting(
        "what overlaps and must stay on one side of a split: a file, a folder's files, or the day", default="file"
    )
    tags: tuple[str, ...] = setting("tags of every record", default=())
    definitions: Literal["ros1_noetic", "ros2_foxy", "ros2_galactic", "ros2_humble", "ros2_iron", "ros2_jazzy"] = (
        setting("message definitions for bags that carry none", default="ros2_humble")
    )

    def __post_init__(self) -> None:
        if not self.agents:
            raise ValueError("agents is empty")
        if self.day_from in ("auto", "path") and not names_day(self.files):
            raise ValueError("files has no {day} or {yyyymmdd}: put one in, or set day_from to start or any")
        try:
            zoneinfo.ZoneInfo(self.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"timezone {self.timezone!r} is not known") from error


class RosJob:
    """Reads the bags of a day; one unit for each file."""

    Settings: ClassVar[type[RosSettings]] = RosSettings

    def __init__(self, name: str, settings: RosSettings) -> None:
        self.name = name
        self.settings = settings

    def discover(self, day: datetime.date) -> Sequence[Unit]:
        """List the day's files. Raises SourceError where the folder before the first wildcard is missing."""
        wanted = self.settings
        base = Path(fixed_part(wanted.files))
        if not base.is_dir() and not Path(wanted.files).is_dir():
            raise SourceError(
                f"source {self.name!r}: there is no folder {str(base)!r}", "set files to where the bags are"
            )
        paths = self._paths(for_day(wanted.files, day))
        if wanted.day_from == "start":
            paths = [path for path in paths if self._starts_on(path, day)]
        names = record_names(paths)
        chosen = hashlib.blake2b(repr(wanted).encode(), digest_size=8).hexdigest()
        found = []
        for path in paths:
            state = Path(path).stat()
            group = {"file": names[path], "folder": str(Path(path).parent.name), "day": day.isoformat()}
            found.append(
                Unit(
                    key=path,
                    fingerprint=f"{state.st_size}-{state.st_mtime_ns}-{chosen}",
                    args={"name": names[path], "leak_group": f"{self.name}-{group[wanted.leak_group]}"},
                )
            )
        return found

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """Read one file. A broken one is a Reject, and nothing of it goes in."""
        from isthmus.loop.sources.bag import records_of_bag

        yield from records_of_bag(Path(unit.key), unit.args["name"], unit.args["leak_group"], self.settings)

    def _paths(self, pattern: str) -> list[str]:
        found: set[str] = set()
        for match in glob.glob(pattern, recursive=True):  # noqa: PTH207  the pattern is a whole path
            path = Path(match)
            inside = sorted(path.rglob("*")) if path.is_dir() else [path]
            found.update(str(item) for item in inside if item.suffix in SUFFIXES and item.is_file())
        return sorted(found)

    def _starts_on(self, path: str, day: datetime.date) -> bool:
        """A file that does not tell its start is of the day on which it was last written."""
        from isthmus.loop.sources.bag import first_message

        start = first_message(Path(path), self.settings.definitions)
        if start is None:
            start = datetime.datetime.fromtimestamp(Path(path).stat().st_mtime, datetime.UTC)
        return start.astimezone(zoneinfo.ZoneInfo(self.settings.timezone)).date() == day
