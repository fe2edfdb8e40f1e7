"""A job type whose days are scripted, for tests of the ingest."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from isthmus.loop.record import Record, Reject, Track, Unit

STEPS = np.arange(60, dtype=np.int32)


def record(name: str, speed: float = 10.0, agents: int = 2) -> Record:
    """Some agents that drive straight on, one behind the other, for 6 s."""
    still = np.zeros(60, np.float32)
    tracks = tuple(
        Track(str(n), STEPS, (STEPS * 0.1 * speed + 20 * n).astype(np.float32), still, still, still + speed, still)
        for n in range(agents)
    )
    return Record(name, 0.1, tracks, leak_group=name, tags=("scripted",))


@dataclass(frozen=True)
class ScriptedJob:
    """Gives the units and records that it was made with."""

    name: str
    settings: Any = None
    days: Mapping[datetime.date, Mapping[str, Sequence[Record | Reject]]] = field(default_factory=dict)
    Settings: ClassVar[type[Any]] = dict

    def discover(self, day: datetime.date) -> list[Unit]:
        return [Unit(key, f"{key}-1") for key in self.days.get(day, {})]

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        for units in self.days.values():
            yield from units.get(unit.key, ())
