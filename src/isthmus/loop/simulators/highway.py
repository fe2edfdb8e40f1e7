"""Closed loop on the highways of highway-env: the others react (IDM and MOBIL), unlike those of a record.

The policy under test drives the ego along its lane; highway-env's own controller steers. The way that progress
is measured against is the mean way of the other vehicles: who keeps up with traffic has progress 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import MissingExtra
from isthmus.core.progress import Progress, Report, silent
from isthmus.core.settings import setting
from isthmus.loop.forecast import HISTORY, STEP_S
from isthmus.loop.scene import A, Scene, V
from isthmus.loop.simulators.contact import Contacts
from isthmus.loop.simulators.drive import Drive, JudgeSettings, judge
from isthmus.loop.simulators.geometry import Path
from isthmus.loop.simulators.observation import Observation, PathView, leader
from isthmus.loop.simulators.policy import Policy, checked
from isthmus.loop.simulators.port import Episode

Array = NDArray[Any]

ROAD_M = 10_000.0
CORRIDOR_MARGIN_M = 0.2


@dataclass(frozen=True)
class HighwaySettings(JudgeSettings):
    """What is driven in highway-env."""

    episodes: int = setting("number of episodes", default=4, minimum=1, maximum=10_000)
    seed: int = setting("seed of the first episode; each next one adds 1", default=0, minimum=0)
    density: float = setting("traffic density, 1 is highway-env's own", default=1.2, minimum=0.2, maximum=4.0)
    vehicles: int = setting("other vehicles", default=20, minimum=1, maximum=200)
    lanes: int = setting("lanes", default=3, minimum=1, maximum=8)
    duration_s: float = setting("length of an episode", default=15.0, minimum=2.0, maximum=120.0, unit="s")


class HighwayEnv:
    """The highway-env simulator. Deterministic by seed; `scenes` are not looked at."""

    Settings: ClassVar[type[Any]] = HighwaySettings
    name: ClassVar[str] = "highway_env"

    def __init__(self, settings: HighwaySettings | None = None) -> None:
        self.settings = settings or HighwaySettings()

    def episodes(self, scenes: Iterable[Scene], policy: Policy, report: Report = silent) -> Iterator[Episode]:
        """Drive one episode for each seed. Raises MissingExtra without highway-env."""
        chosen = self.settings
        for number in range(chosen.episodes):
            seed = chosen.seed + number
            road = _Highway(_environment(chosen, seed), f"{self.name}.{seed}", chosen)
            yield judge(road.drive(policy), chosen)
            report(Progress(f"simulate {policy.name} on highways", number + 1, chosen.episodes, "episodes"))


def _environment(settings: HighwaySettings, seed: int) -> Any:
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame comes along: never open a window
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        from highway_env.envs.highway_env import HighwayEnv as Environment
    except ImportError as error:
        raise MissingExtra.named("highway-env", "loop") from error
    environment = Environment(
        config={
            "simulation_frequency": round(1 / STEP_S),
            "policy_frequency": round(1 / STEP_S),
            "action": {"type": "DiscreteMetaAction"},
            "lanes_count": settings.lanes,
            "vehicles_count": settings.vehicles,
            "vehicles_density": settings.density,
            "duration": settings.duration_s,
        }
    )
    environment.reset(seed=seed)
    return environment


class _Highway:
    """One drive, and at each step the World that its policy may ask.

    highway-env's y axis points down; here it points up, so y and heading change their sign.
    """

    def __init__(self, environment: Any, scene_id: str, settings: HighwaySettings) -> None:
        # The road is stepped by itself: two thirds of the environment's own step make an observation nobody reads.
        self.road = environment.road
        self.scene_id = scene_id
        self.steps = round(settings.duration_s / STEP_S)
        self.ego = environment.vehicle
        self.vehicles = [self.ego, *(v for v in self.road.vehicles if v is not self.ego)]
        for vehicle in self.vehicles:
            vehicle.collidable = False  # contacts are judged here, and must not throw vehicles about
        self._size = np.array([[v.LENGTH, v.WIDTH] for v in self.vehicles], np.float64)
        self.length, self.width = (float(side) for side in self._size[0])
        self.command = 0.0
        self.ego.speed_control = lambda target_speed: self.command
        y = -float(self.ego.position[1])
        self.path = Path(np.array([[0.0, y], [ROAD_M, y]]))
        self.limit = float(self.ego.lane.speed_limit)
        self.past: list[Array] = []
        others = len(self.vehicles) - 1
        self.contacts = Contacts(self._size[0], self._size[1:], ["car"] * others, np.ones(others, bool))

    @property
    def size(self) -> Array:
        """Sizes of all vehicles, the ego first."""
        return self._size

    def history(self) -> Array:
        """The last HISTORY steps of all vehicles, the ego first."""
        known = np.stack(self.past[-HISTORY:], axis=1).astype(np.float32)
        missing = HISTORY - known.shape[1]
        return np.pad(known, ((0, 0), (missing, 0), (0, 0)), constant_values=np.nan)

    def drive(self, policy: Policy) -> Drive:
        """Drive until the time is over or the ego collides at fault."""
        policy.reset()
        gaps: list[tuple[float, float]] = []
        self._note()
        self._collide()
        for step in range(self.steps):
            seen = self._observe(step)
            gaps.append((seen.gap, seen.leader_speed))
            asked = checked(policy(seen), policy.name)
            self.command = max(asked, -float(self.ego.speed) / STEP_S)
            self.road.act()
            self.road.step(STEP_S)
            self._note()
            if self._collide():
                break
        last = self._observe(len(self.past) - 1)
        gaps.append((last.gap, last.leader_speed))
        return self._finish(policy.name, np.array(gaps))

    def _note(self) -> None:
        rows = [
            (v.position[0], -v.position[1], -v.heading, v.speed, v.action["acceleration"]) for v in self.vehicles
        ]
        self.past.append(np.array(rows, np.float64))

    def _observe(self, step: int) -> Observation:
        now = self.past[-1]
        view = PathView.of(self.path, now[1:], self._size[1:])
        view = PathView(
            np.where(self.contacts.active, view.station, np.nan),
            view.offset,
            view.half_along,
            view.half_across,
            view.speed,
        )
        station = float(now[0, 0])
        gap, leader_speed = leader(view, station, self.length, self.width, CORRIDOR_MARGIN_M)
        return Observation(
            step=step,
            dt=STEP_S,
            station=station,
            speed=float(now[0, V]),
            acceleration=float(now[0, A]),
            limit=self.limit,
            gap=gap,
            leader_speed=leader_speed,
            stop_gap=float("inf"),
            recorded_speed=float("nan"),
            length=self.length,
            width=self.width,
            path=self.path,
            others=view,
            world=self,
        )

    def _collide(self) -> bool:
        now = self.past[-1]
        appeared = None if len(self.past) == 1 else np.zeros(len(now) - 1, bool)
        boxes = np.concatenate([now[1:, :3], self._size[1:]], axis=1)
        return self.contacts.at_fault(now[0].tolist(), boxes, now[1:, V], appeared, False)

    def _finish(self, policy: str, gaps: Array) -> Drive:
        states = np.stack(self.past)
        ways = states[-1, :, 0] - states[0, :, 0]
        whole = self.steps / (len(states) - 1)
        active = self.contacts.active
        return Drive(
            scene_id=self.scene_id,
            simulator=HighwayEnv.name,
            policy=policy,
            dt=STEP_S,
            start=0,
            ego=states[:, 0],
            ego_size=self._size[0],
            recorded=None,
            others=states[:, 1:][:, active],
            size=self._size[1:][active],
            between_lanes=np.zeros(len(states), bool),
            gap=gaps[:, 0],
            leader_speed=gaps[:, 1],
            way=float(ways[0]),
            # Where a collision cut the episode short, traffic would have driven on to its end.
            recorded_way=float(ways[1:].mean()) * whole,
            collided=self.contacts.collided,
            no_collision=self.contacts.no_collision,
            ignored=self.contacts.ignored,
        )
