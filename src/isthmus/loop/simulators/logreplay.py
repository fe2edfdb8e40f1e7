"""Closed loop over recorded scenes: the ego keeps to its recorded path, at the speed that the policy chooses.

The others replay what they did and don't react. What a map would say is read off the record: the speed that the
road lets (what traffic drives, and curves ahead), and red lights (the recorded ego stood, and no queue says
why). Past the end of the recorded path the ego goes straight on for a few metres, and then the episode ends. A
collision that is not at fault, such as a recorded follower running through an ego that is slower than it was,
is counted and the other leaves the scene; one at fault ends the episode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from isthmus.core.progress import Progress, Report, silent
from isthmus.core.settings import setting
from isthmus.loop.forecast import HISTORY
from isthmus.loop.scene import HEADING, Scene, V, X, Y
from isthmus.loop.simulators.contact import Contacts
from isthmus.loop.simulators.drive import Drive, JudgeSettings, judge
from isthmus.loop.simulators.geometry import boxes
from isthmus.loop.simulators.observation import Observation, PathView, leader
from isthmus.loop.simulators.policy import Policy, checked
from isthmus.loop.simulators.port import Episode
from isthmus.loop.simulators.recording import Recording, prepare

Array = NDArray[Any]


@dataclass(frozen=True)
class LogReplaySettings(JudgeSettings):
    """How recorded scenes are replayed."""

    least_s: float = setting(
        "a scene starts after 2 s of history only if it leaves this much to drive",
        default=2.0,
        minimum=0.5,
        maximum=60.0,
        unit="s",
    )
    corridor_margin_m: float = setting(
        "room left and right of the ego in which an agent counts as ahead",
        default=0.2,
        minimum=0.0,
        maximum=1.5,
        unit="m",
    )
    curve_accel: float = setting(
        "lateral acceleration at the speed that a curve lets", default=2.5, minimum=0.5, maximum=6.0, unit="m/s²"
    )
    beyond_m: float = setting(
        "an episode ends this far past the recorded way, since where the road goes from there is a guess",
        default=5.0,
        minimum=0.0,
        maximum=100.0,
        unit="m",
    )
    infer_red_lights: bool = setting(
        "hold the ego where it was recorded standing without a queue ahead", default=True
    )
    ignore_contradictions: bool = setting(
        "leave out agents whose recorded box overlaps the recorded ego's", default=True
    )


class LogReplay:
    """The log-replay simulator. Deterministic; each scene is driven on its own."""

    Settings: ClassVar[type[Any]] = LogReplaySettings
    name: ClassVar[str] = "log_replay"

    def __init__(self, settings: LogReplaySettings | None = None) -> None:
        self.settings = settings or LogReplaySettings()

    def episodes(self, scenes: Iterable[Scene], policy: Policy, report: Report = silent) -> Iterator[Episode]:
        """Drive each scene once. Raises InputError where a scene has no drivable ego."""
        total = len(scenes) if isinstance(scenes, Sized) else None
        for done, scene in enumerate(scenes, 1):
            yield self.episode(scene, policy)
            report(Progress(f"simulate {policy.name}", done, total, "scenes"))

    def episode(self, scene: Scene, policy: Policy) -> Episode:
        """Drive one scene."""
        chosen = self.settings
        recording = prepare(scene, chosen.curve_accel, chosen.infer_red_lights)
        least = round(chosen.least_s / scene.dt)
        start = HISTORY - 1 if scene.steps - HISTORY >= least else 0
        return judge(_Replay(recording, start, chosen).drive(policy), chosen)


class _Replay:
    """One drive, and at each step the World that its policy may ask."""

    def __init__(self, recording: Recording, start: int, settings: LogReplaySettings) -> None:
        self.recording = recording
        self.settings = settings
        self.start = self.step = start
        scene = recording.scene
        self.length, self.width = (float(side) for side in scene.size[0])
        can_collide = ~recording.contradicts | (not settings.ignore_contradictions)
        ego_size = np.array([self.length, self.width])
        self.contacts = Contacts(ego_size, recording.size, scene.kinds[1:], can_collide)
        self._world = scene.states.copy()
        self._size = scene.size
        self._view = self._without_ghosts(recording.view)
        others = recording.others
        self._boxes = boxes(
            others[..., X], others[..., Y], others[..., HEADING], recording.size[:, 0], recording.size[:, 1]
        )

    @property
    def size(self) -> Array:
        """Sizes of all agents, the ego first."""
        return self._size

    def history(self) -> Array:
        """The last HISTORY steps of everyone: the ego as it was driven, the others as they were recorded."""
        first = self.step - HISTORY + 1
        if first >= 0:
            return self._world[:, first : self.step + 1]
        known = self._world[:, : self.step + 1]
        past = np.full((len(known), HISTORY, known.shape[2]), np.nan, np.float32)
        past[:, -first:] = known
        return past

    def drive(self, policy: Policy) -> Drive:
        """Drive until the scene or the recorded way ends or the ego collides at fault."""
        policy.reset()
        recording, scene, start = self.recording, self.recording.scene, self.start
        station, speed = float(recording.station[start]), float(recording.speed[start])
        acceleration = float(recording.acceleration[start])
        trace: list[tuple[float, ...]] = []
        gaps: list[tuple[float, float]] = []
        stations = [station]
        end = float(recording.station[-1]) + self.settings.beyond_m
        self._note(trace, station, speed, acceleration)
        self._collide(start, station, trace[-1])
        for step in range(start, scene.steps - 1):
            self.step = step
            seen = self._observe(station, speed, acceleration)
            gaps.append((seen.gap, seen.leader_speed))
            asked = checked(policy(seen), policy.name)
            faster = max(0.0, speed + asked * scene.dt)
            acceleration = (faster - speed) / scene.dt
            station += (speed + faster) / 2 * scene.dt
            speed = faster
            stations.append(station)
            self.step = step + 1
            self._note(trace, station, speed, acceleration)
            if self._collide(step + 1, station, trace[-1]) or station > end:
                break
        view = self._view.at(self.step)
        gaps.append(leader(view, station, self.length, self.width, self.settings.corridor_margin_m))
        return self._finish(policy.name, np.array(trace), np.array(gaps), np.array(stations))

    def _observe(self, station: float, speed: float, acceleration: float) -> Observation:
        recording, step = self.recording, self.step
        view = self._view.at(step)
        gap, leader_speed = leader(view, station, self.length, self.width, self.settings.corridor_margin_m)
        return Observation(
            step=step,
            dt=recording.scene.dt,
            station=station,
            speed=speed,
            acceleration=acceleration,
            limit=recording.limit(station),
            gap=gap,
            leader_speed=leader_speed,
            stop_gap=recording.stop_gap(station, step),
            recorded_speed=float(recording.speed[step + 1]),
            length=self.length,
            width=self.width,
            path=recording.path,
            others=view,
            world=self,
        )

    def _note(self, trace: list[tuple[float, ...]], station: float, speed: float, acceleration: float) -> None:
        x, y, heading = self.recording.path.pose(station)
        state = (x, y, heading, speed, acceleration)
        trace.append(state)
        self._world[0, self.step] = state

    def _collide(self, step: int, station: float, ego: Sequence[float]) -> bool:
        boxes_now, recording = self._boxes[step], self.recording
        appeared = None if step == self.start else np.isnan(self._boxes[step - 1, :, 0])
        before = self.contacts.active.copy()
        fault = self.contacts.at_fault(
            ego, boxes_now, recording.others[step, :, V], appeared, bool(recording.between(np.array(station)))
        )
        if (before != self.contacts.active).any():
            self._view = self._without_ghosts(self._view)
        return fault

    def _without_ghosts(self, view: PathView) -> PathView:
        if self.contacts.active.all():
            return view
        station = np.where(self.contacts.active, view.station, np.nan)
        return PathView(station, view.offset, view.half_along, view.half_across, view.speed)

    def _finish(self, policy: str, ego: Array, gaps: Array, stations: Array) -> Drive:
        recording, start = self.recording, self.start
        recorded = recording.ego_states()
        return Drive(
            scene_id=recording.scene.scene_id,
            simulator=LogReplay.name,
            policy=policy,
            dt=recording.scene.dt,
            start=start,
            ego=ego,
            ego_size=np.array([self.length, self.width]),
            recorded=recorded[start : start + len(ego)],
            others=recording.others[start:, self.contacts.active],
            size=recording.size[self.contacts.active],
            between_lanes=recording.between(stations),
            gap=gaps[:, 0],
            leader_speed=gaps[:, 1],
            way=float(stations[-1] - stations[0]),
            recorded_way=float(recording.station[-1] - recording.station[start]),
            collided=self.contacts.collided,
            no_collision=self.contacts.no_collision,
            ignored=self.contacts.ignored,
        )
