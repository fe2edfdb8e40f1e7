"""The port of a job type, and how the installed ones are found."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol

from isthmus.core.errors import UnknownName
from isthmus.loop.record import Record, Reject, Unit

GROUP = "isthmus.job_types"


class JobType(Protocol):
    """Reads the records of one day from one source.

    A job is made from its settings (an instance of its `Settings` class) and can be pickled: `discover` runs
    once in the ingesting process, `read` runs in worker processes, for several units at a time.
    """

    Settings: ClassVar[type[Any]]
    """A frozen dataclass made with `core.settings.setting`; the site's TOML is read into it."""

    def __init__(self, name: str, settings: Any) -> None:
        """Make the job for the source `name`. Does no I/O."""
        ...

    def discover(self, day: datetime.date) -> Sequence[Unit]:
        """List the units of a day, the same list in the same order each time; empty where the day is empty.

        Raises SourceError where the source as a whole cannot be read: nothing is ingested then.
        """
        ...

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """Read one unit. What cannot be read becomes a Reject and never an exception: the rest goes on."""
        ...


def job_type(name: str) -> type[JobType]:
    """Load the job type `name`. Raises UnknownName with the nearest installed name."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise UnknownName.among("job type", name, found)
    loaded: type[JobType] = found[name].load()
    return loaded
