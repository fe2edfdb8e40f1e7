"""The job type `ros`: ROS 1 bags and ROS 2 MCAP files, read without ROS.

A file is a unit of work; what lies in it is cut into records of some seconds that share one leak group.
"""

from __future__ import annotations

import datetime
import glob
import hashlib
import zoneinfo
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from isthmus.core.errors import SourceError
from isthmus.loop.record import Record, Reject, Unit
from isthmus.loop.sources.dated import fixed_part, for_day, record_names
from isthmus.loop.sources.ros_settings import RosSettings

SUFFIXES = (".bag", ".mcap", ".db3")
METADATA = "metadata.yaml"
"""What rosbag2 writes beside the files of one bag."""


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
            found.append(
                Unit(
                    key=path,
                    fingerprint=f"{state.st_size}-{state.st_mtime_ns}-{chosen}",
                    args={
                        "name": names[path],
                        "leak_group": f"{self.name}-{self._group(Path(path), names[path], day)}",
                    },
                )
            )
        return found

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """Read one file. A broken one is a Reject, and nothing of it goes in."""
        from isthmus.loop.sources.bag import records_of_bag

        yield from records_of_bag(Path(unit.key), unit.args["name"], unit.args["leak_group"], self.settings)

    def _group(self, path: Path, name: str, day: datetime.date) -> str:
        """Name what a file overlaps with: rosbag2 parts one drive over files and lays one metadata.yaml beside."""
        wanted = self.settings.leak_group
        if wanted == "auto":
            wanted = "folder" if path.suffix != ".bag" and (path.parent / METADATA).is_file() else "file"
        return {"file": name, "folder": path.parent.name, "day": day.isoformat()}[wanted]

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
