"""What a policy sees at one moment: the ego, the road ahead and the others in the path's own coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.scene import HEADING, V, X, Y
from isthmus.loop.simulators.geometry import Path

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class PathView:
    """Agents seen from a path; every array is (..., A), NaN where an agent is absent.

    `station` and `offset` (left positive) of the centre, half the extent along and across the path, and the
    speed along it (negative where the agent comes towards the ego).
    """

    station: Array
    offset: Array
    half_along: Array
    half_across: Array
    speed: Array

    @classmethod
    def of(cls, path: Path, states: Array, size: Array) -> PathView:
        """See agents with `states` (..., A, 5) and `size` (A, 2) from `path`."""
        station, offset = path.project(states[..., [X, Y]])
        station = np.where(np.isfinite(states[..., X]), station, np.nan)
        turn = states[..., HEADING] - path.heading_at(station)
        along, across = np.abs(np.cos(turn)), np.abs(np.sin(turn))
        length, width = size[:, 0] / 2, size[:, 1] / 2
        half_along, half_across = along * length + across * width, across * length + along * width
        return cls(station, offset, half_along, half_across, states[..., V] * np.cos(turn))

    def at(self, step: int) -> PathView:
        """Return the view of one step of a view of many, (A,)."""
        return PathView(
            self.station[step], self.offset[step], self.half_along[step], self.half_across[step], self.speed[step]
        )


@dataclass(slots=True)
class Observation:
    """One moment as a policy sees it. Speeds in m/s, ways in metres from the front bumper.

    `limit` is the speed that the road lets here, curves ahead included. `gap` to the agent ahead in the
    ego's path is inf without one, and `leader_speed` is its speed along the path. `stop_gap` is the way that
    is left to a red light, inf without one. `recorded_speed` is what the recorded ego drives one step later, NaN
    where nothing was recorded.
    """

    step: int
    dt: float
    station: float
    speed: float
    acceleration: float
    limit: float
    gap: float
    leader_speed: float
    stop_gap: float
    recorded_speed: float
    length: float
    width: float
    path: Path
    others: PathView
    world: World


class World(Protocol):
    """The wider surroundings, asked only by policies that look into the future."""

    @property
    def size(self) -> Array:
        """Length and width of all agents, (A, 2), the ego first."""
        ...

    def history(self) -> Array:
        """States of the last HISTORY steps, the present one last, float32 (A, HISTORY, 5), the ego first."""
        ...


def leader(view: PathView, station: float, length: float, width: float, margin: float) -> tuple[float, float]:
    """Return gap and speed of the nearest agent ahead in the corridor; (inf, 0) without one.

    An agent is in the corridor where its box comes within `margin` of the swath of the ego's box. The gap is
    negative where the boxes already overlap along the path.
    """
    with np.errstate(invalid="ignore"):
        inside = (np.abs(view.offset) - view.half_across < width / 2 + margin) & (view.station > station)
    if not inside.any():
        return float("inf"), 0.0
    rear = np.where(inside, view.station - view.half_along, np.inf)
    nearest = int(rear.argmin())
    return float(rear[nearest]) - station - length / 2, float(view.speed[nearest])
