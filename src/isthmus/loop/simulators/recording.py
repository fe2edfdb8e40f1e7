"""A scene made ready for replay: smoothed motion, the ego's path, the others seen from it, what the road lets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import InputError
from isthmus.loop.scene import HEADING, Scene, V, X, Y
from isthmus.loop.simulators.geometry import Path, boxes, overlap
from isthmus.loop.simulators.observation import PathView, leader
from isthmus.loop.simulators.smoothing import local_line

Array = NDArray[Any]

SIGMA_S = 0.4
"""Width of the smoothing: NGSIM's speeds jump by 0.6 m/s within 0.1 s, which no car does."""
POINT_EVERY_M = 1.0
SHORT_M = 3.0
"""A path shorter than this has no direction but the recorded heading: its points are mostly noise."""
BEND_SIGMA_M = 3.0
CURVE_BRAKE = 2.0
STAND_M_S = 0.5
STAND_S = 0.5
EXPLAINED_M = 12.0
"""A stand behind a leader farther away than this is not a queue: something else held the ego, such as a light."""
ROLLED_M = 3.0
LANE_CHANGE_S = 1.5


@dataclass(frozen=True, slots=True)
class RedLight:
    """Holds the ego before `station` until `until` (a step), as it held the recorded ego."""

    station: float
    until: int


@dataclass(frozen=True)
class Recording:
    """T steps of a scene in float64.

    `station`, `speed`, `acceleration` and `between_lanes` (T,) are the recorded ego's. `others` (T, A − 1, 5),
    `size` (A − 1, 2) and `view` (T, A − 1) are the other agents'; `contradicts` (A − 1,) marks those whose
    recorded box overlaps the recorded ego's. `limits` are m/s for each metre from the station `limits_from` on.
    """

    scene: Scene
    path: Path
    station: Array
    speed: Array
    acceleration: Array
    between_lanes: Array
    others: Array
    size: Array
    view: PathView
    contradicts: Array
    limits: list[float]
    limits_from: float
    red_lights: tuple[RedLight, ...]

    def limit(self, station: float) -> float:
        """Return the speed in m/s that the road lets at a station."""
        place = int(station - self.limits_from)
        return self.limits[min(max(place, 0), len(self.limits) - 1)]

    def between(self, station: Array) -> Array:
        """Say where the recorded ego was changing lanes, for stations of any shape."""
        step = np.searchsorted(self.station, station, side="left")
        there: Array = self.between_lanes[np.minimum(step, len(self.station) - 1)]
        return there

    def stop_gap(self, station: float, step: int) -> float:
        """Return the way in metres to the nearest red light ahead; inf without one.

        One that rolls a little past the line still has to stand: the way is 0 then.
        """
        gaps = [light.station - station for light in self.red_lights if step < light.until]
        return min((max(0.0, gap) for gap in gaps if gap >= -ROLLED_M), default=float("inf"))

    def ego_states(self) -> Array:
        """Return the recorded ego, smoothed, bound to its path, (T, 5)."""
        poses = np.array([self.path.pose(float(station)) for station in self.station])
        return np.column_stack([poses, self.speed, self.acceleration])


def prepare(scene: Scene, curve_accel: float, infer_red_lights: bool) -> Recording:
    """Make a scene ready. `curve_accel` in m/s² bounds the lateral acceleration that `limit` leads to.

    Raises InputError where the scene has fewer than two steps or the ego is not present throughout.
    """
    states = np.asarray(scene.states, np.float64)
    if scene.steps < 2 or not np.isfinite(states[0, :, [X, Y, HEADING, V]]).all():
        raise InputError(
            f"scene {scene.scene_id} can't be driven", "the ego must be present at two or more steps, at every one"
        )
    sigma = SIGMA_S / scene.dt
    x, slope_x = local_line(states[:, :, X], sigma)
    y, slope_y = local_line(states[:, :, Y], sigma)
    path = _path_of(np.column_stack([x[0], y[0]]), states[0, :, HEADING])
    speed, acceleration = _ego_motion(path, x[0], y[0], slope_x[0], slope_y[0], scene.dt, sigma)
    ways = (speed[1:] + speed[:-1]) / 2 * scene.dt
    station = path.project(np.array([x[0, 0], y[0, 0]]))[0] + np.concatenate([[0.0], np.cumsum(ways)])

    others = states[1:].copy()
    others[:, :, X], others[:, :, Y] = x[1:], y[1:]
    others[:, :, V] = np.maximum(local_line(states[1:, :, V], sigma)[0], 0.0)
    others = np.ascontiguousarray(others.transpose(1, 0, 2))
    size = np.asarray(scene.size[1:], np.float64)
    view = PathView.of(path, others, size)
    limits_from, limits = _limits(path, station, speed, states[:, :, V], curve_accel)
    length, width = (float(side) for side in scene.size[0])
    lights = _red_lights(view, station, speed, length, width, scene.dt) if infer_red_lights else ()
    recording = Recording(
        scene=scene,
        path=path,
        station=station,
        speed=speed,
        acceleration=acceleration,
        between_lanes=_between_lanes(scene),
        others=others,
        size=size,
        view=view,
        contradicts=np.zeros(len(size), bool),
        limits=limits.tolist(),
        limits_from=limits_from,
        red_lights=lights,
    )
    recording.contradicts[:] = _contradicts(recording, length, width)
    return recording


def _path_of(points: Array, heading: Array) -> Path:
    way = np.hypot(*np.diff(points, axis=0).T)
    if way.sum() < SHORT_M:
        mean = np.arctan2(np.sin(heading).mean(), np.cos(heading).mean())
        ahead = np.array([np.cos(mean), np.sin(mean)])
        return Path(np.stack([points[0], points[0] + ahead]))
    kept, last = [points[0]], points[0]
    for point in points[1:]:
        if np.hypot(*(point - last)) >= POINT_EVERY_M:
            kept.append(point)
            last = point
    if len(kept) == 1:  # a drive in a circle of less than a metre
        kept.append(points[0] + np.array([np.cos(heading[0]), np.sin(heading[0])]))
    return Path(np.array(kept))


def _ego_motion(
    path: Path, x: Array, y: Array, slope_x: Array, slope_y: Array, dt: float, sigma: float
) -> tuple[Array, Array]:
    """Take the speed along the path from the smoothed positions: the recorded speeds are noisier."""
    heading = path.heading_at(path.project(np.column_stack([x, y]))[0])
    along = (slope_x * np.cos(heading) + slope_y * np.sin(heading)) / dt
    speed, change = local_line(np.maximum(along, 0.0)[None], sigma / 2)
    return np.maximum(speed[0], 0.0), change[0] / dt


def _limits(
    path: Path, station: Array, speed: Array, all_speeds: Array, curve_accel: float
) -> tuple[float, Array]:
    moving = all_speeds[np.isfinite(all_speeds) & (all_speeds > 2.0)]
    usual = float(np.percentile(moving, 95)) if len(moving) else 5.0
    free = max(usual, float(speed.max()), 5.0)
    start = float(np.floor(station[0]))
    grid = np.arange(start, station[-1] + 60.0, 1.0)
    bend = np.abs(local_line(path.heading_at(grid)[None], BEND_SIGMA_M)[1][0])
    curve = np.sqrt(curve_accel / np.maximum(bend, 1e-6))
    rising = np.maximum.accumulate(station) + np.arange(len(station)) * 1e-9
    driven = np.interp(grid, rising, speed, left=0.0, right=0.0)
    at = np.minimum(free, np.maximum(curve, driven))
    # What must be slow at a place must brake before it: v² ≤ v'² + 2 b (s' − s) for every s' ahead.
    reach = at**2 + 2.0 * CURVE_BRAKE * grid
    ahead = np.minimum.accumulate(reach[::-1])[::-1] - 2.0 * CURVE_BRAKE * grid
    return start, np.sqrt(ahead)


def _red_lights(
    view: PathView, station: Array, speed: Array, length: float, width: float, dt: float
) -> tuple[RedLight, ...]:
    stands = np.concatenate([[False], speed < STAND_M_S, [False]]).astype(np.int8)
    edges = np.diff(stands)
    lights = []
    for first, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if (end - first) * dt < STAND_S:
            continue
        gap, _ = leader(view.at(int(first + end) // 2), float(station[end - 1]), length, width, 0.3)
        if gap > EXPLAINED_M:
            lights.append(RedLight(float(station[end - 1]) + 0.5, int(end)))
    return tuple(lights)


def _between_lanes(scene: Scene) -> Array:
    lane = scene.lane[0]
    changes = np.flatnonzero((lane[1:] != lane[:-1]) & (lane[1:] >= 0) & (lane[:-1] >= 0)) + 1
    steps = np.arange(scene.steps)
    near: Array = (np.abs(steps[:, None] - changes[None, :]) * scene.dt <= LANE_CHANGE_S).any(axis=1)
    return near


def _contradicts(recording: Recording, length: float, width: float) -> Array:
    ego, others = recording.ego_states(), recording.others
    mine = boxes(ego[:, X], ego[:, Y], ego[:, HEADING], np.array(length), np.array(width))[:, None]
    theirs = boxes(
        others[..., X], others[..., Y], others[..., HEADING], recording.size[:, 0], recording.size[:, 1]
    )
    return np.asarray(overlap(mine, theirs).any(axis=0))
