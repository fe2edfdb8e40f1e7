"""What the overview gathers of one site: figures, alarms, and the site's ends of boundaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from isthmus.app.views.recovery import AlarmSeen
from isthmus.core.errors import IsthmusError

T = TypeVar("T")
Boundary = Literal["gate", "sync", "acquire", "acquire-gate", "recovery"]
Health = Literal["well", "waiting", "alarm", "unknown"]
Unit = Literal["count", "seconds", "moment", "text"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a site or a flow; the faces find its words by `name` and write it by its `unit`."""

    name: str
    value: Any
    unit: Unit = "count"


@dataclass(frozen=True, slots=True)
class End:
    """A site's end of a boundary. `mark` joins it to the other end: a stream, an environment.

    `gives`: what flows leaves here. `far` names what stands at the other end where no shown site does.
    """

    boundary: Boundary
    mark: str
    gives: bool
    far: str
    figures: tuple[Figure, ...] = ()
    health: Health = "well"


class Look:
    """What is gathered of one site."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.figures: list[Figure] = []
        self.alarms: list[AlarmSeen] = []
        self.ends: list[End] = []
        self.flaws: list[str] = []
        self.healths: list[Health] = []

    def read(self, what: Callable[[], T], otherwise: T) -> T:
        """Read something; what keeps it from being read becomes a flaw."""
        try:
            return what()
        except (IsthmusError, OSError) as error:
            self.flaws.append(str(error))
        except ModuleNotFoundError as error:
            self.flaws.append(f"{error.name} is not installed")
        return otherwise


def table_of(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a TOML's table; an empty one where something else stands in its place."""
    found = tables.get(name)
    return found if isinstance(found, Mapping) else {}


__all__ = ["AlarmSeen", "Boundary", "End", "Figure", "Health", "Look", "Unit", "table_of"]
