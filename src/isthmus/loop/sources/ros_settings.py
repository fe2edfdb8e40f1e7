"""The settings of the job type `ros`: which files are a day's, which topics and fields tell of which agent."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from isthmus.core.settings import setting
from isthmus.loop.sources.dated import names_day


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
    leak_group: Literal["auto", "file", "folder", "day"] = setting(
        "what overlaps and must stay on one side of a split: a file, a folder's files, the day; or auto: a ROS 2"
        " bag in several files is one (its metadata.yaml lies beside them), else a file",
        default="auto",
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
