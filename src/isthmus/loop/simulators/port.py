"""The port of a simulator, what one drive ends in, and how the installed simulators are found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import UnknownName
from isthmus.core.progress import Report
from isthmus.core.settings import Reader
from isthmus.loop.scene import Scene
from isthmus.loop.simulators.policy import Policy

GROUP = "isthmus.simulators"

TTC_CAP_S = 10.0
"""What `ttc_min_s` says where the ego never comes nearer than that to the agent ahead."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One drive of one policy and how it is judged (`score.py` has the formulas).

    `progress` is the ego's way over the recorded way (1 where the recorded way is shorter than 5 m),
    `progress_m` its way in metres. `ttc_min_s` lies in 0 … TTC_CAP_S. `discomfort` names the comfort bounds that
    broke. The trace: `ego` float32 (steps, 5) as in Scene, under the policy; `recorded` the same as it was
    recorded, NaN where nothing was; `gap` float32 (steps,) in metres to the agent ahead, NaN without one.
    `start` is the scene's step that the trace begins with. `ignored` counts agents whose recording contradicts
    the ego's (their boxes overlap in it) and which therefore can't collide.
    """

    scene_id: str
    simulator: str
    policy: str
    dt: float
    steps: int
    start: int
    collided: bool
    at_fault: bool
    progress: float
    progress_m: float
    ttc_min_s: float
    ttc_within: bool
    comfort: bool
    discomfort: tuple[str, ...]
    score: float
    passed: bool
    ego: NDArray[np.float32]
    recorded: NDArray[np.float32]
    gap: NDArray[np.float32]
    ignored: int = 0


class Simulator(Protocol):
    """Drives the ego through scenes at the speed that a policy chooses. Must be deterministic.

    Made from an instance of its `Settings`, which is a frozen dataclass of `core.settings.setting` fields.
    """

    Settings: ClassVar[type[Any]]
    name: ClassVar[str]

    def __init__(self, settings: Any) -> None:
        """Make the simulator. Does no I/O and imports nothing heavy."""
        ...

    def episodes(self, scenes: Iterable[Scene], policy: Policy, report: Report) -> Iterator[Episode]:
        """Drive one episode after another and yield each when it ends; resets the policy before each.

        A simulator with roads of its own may ignore `scenes`; it then names its episodes by itself.
        """
        ...


def simulators() -> tuple[str, ...]:
    """Name the installed simulators."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def simulator(name: str) -> type[Simulator]:
    """Load the simulator `name`. Raises UnknownName with the nearest installed name."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise UnknownName.among("simulator", name, found)
    loaded: type[Simulator] = found[name].load()
    return loaded


def made(name: str, table: Mapping[str, Any]) -> Simulator:
    """Make the simulator `name` with the settings that a site's TOML gives it.

    Raises UnknownName for the simulator, ConfigError with all that is wrong with its settings.
    """
    kind = simulator(name)
    reader = Reader("", "the simulators' settings")
    settings = reader.read(kind.Settings, dict(table), (name,))
    reader.finish()
    return kind(settings)
