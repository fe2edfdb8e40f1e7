"""Lane changes of the ego.

Where the source knows lanes, their numbers are compared. Elsewhere the road's direction comes from map hints or
from the traffic that drives near the same place at any time of the scene, and the ego's motion across that
direction is integrated. A turn at a crossing is none: there the ego does not end up parallel to the traffic that
it began with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.extract.kinematics import runs
from isthmus.loop.extract.motion import Motion
from isthmus.loop.extract.path import turned
from isthmus.loop.forecast import STEP_S
from isthmus.loop.scene import Scene

Float64s = NDArray[np.float64]

LANE_M = 3.6
HOLD_S = 1.0
"""A lane that the ego leaves again sooner than this is not counted."""

_BESIDE_M, _ALONG_M = 13.0, 35.0  # traffic this near tells the direction of the road
_SIMILAR = np.radians(30.0)
_EVERY = 5  # steps between the places at which the direction is asked for: it changes slowly
_RIDGE = 0.05  # keeps the bend small where the traffic is all in one place
_LEAST_TRAFFIC = 2  # other vehicles: one alone may change lanes itself
_DRIFT = 0.15  # m/s across the road, below which the ego keeps its lane
_CROSSED_M = 2.2  # across, more than wobbling in a lane and less than a narrow lane
_AROUND = 10  # steps before and after, which show whether the ego or the others swerve
_PARALLEL = np.radians(6.0)
_TIGHTEST_M = 40.0  # radius below which a bend is a turn at a crossing


def lane_changes(scene: Scene, motion: Motion) -> list[int] | None:
    """List the steps at which the ego changes lanes; None where neither lanes, map nor traffic tell."""
    lane = scene.lane[0]
    if (lane >= 0).mean() >= 0.5:
        around = 3 * _AROUND // 2
        return [
            step
            for step in changes_of_number(lane)
            if not _bends_tightly(motion, max(step - around, 0), min(step + around, scene.steps - 1))
        ]
    if motion.speed[0].max() < 1.0:
        return []
    road = road_along(scene, motion)
    return crossings(motion, road) if np.isfinite(road).mean() >= 0.5 else None


def changes_of_number(lane: NDArray[np.integer]) -> list[int]:
    """List the steps at which the lane number (T,) changes for at least HOLD_S; −1 is passed over."""
    known = np.flatnonzero(lane >= 0)
    if not len(known):
        return []
    number = lane[known]
    starts = np.flatnonzero(np.diff(number, prepend=number[:1] - 1))
    ends = np.append(starts[1:], len(number))
    found: list[int] = []
    current: int | None = None
    for begin, end in zip(starts.tolist(), ends.tolist(), strict=True):
        held = (end - begin) * STEP_S >= HOLD_S
        if current is None:
            current = int(number[begin])
        elif int(number[begin]) != current and (held or end == len(number)):
            found.append(int(known[begin]))
            current = int(number[begin])
    return found


def road_along(scene: Scene, motion: Motion) -> Float64s:
    """Return the direction of the road where the ego is, (T,), NaN where nothing tells it."""
    steps = np.arange(scene.steps)
    asked = np.unique(np.append(steps[::_EVERY], steps[-1]))
    places, course = motion.xy[0, asked], motion.held[asked]
    road = _from_map(scene, places, course)
    if np.isnan(road).any():
        others = np.arange(1, len(scene.states))
        road = np.where(np.isnan(road), from_traffic(motion, others, places, course), road)
    known = np.isfinite(road)
    if not known.any():
        return np.full(len(steps), np.nan)
    nearest = np.abs(steps[:, None] - asked[known]).min(axis=1)
    unwrapped = np.unwrap(road[known])
    filled = np.interp(steps, asked[known], unwrapped)
    return np.where(nearest <= 2 * _EVERY, filled, np.nan)


def from_traffic(motion: Motion, others: NDArray[np.integer], places: Float64s, course: Float64s) -> Float64s:
    """Return the direction of the traffic of `others` around each of k places, (k,), NaN where it is too thin.

    Only motion within 30° of `course` (k,) counts; outliers (vehicles that change lanes themselves) are weighed
    down in two further rounds (Tukey's biweight).
    """
    states = (others[:, None], np.arange(0, motion.xy.shape[1], _EVERY)[None, :])
    there = motion.moving[states]
    xy, towards = motion.xy[states][there], motion.course[states][there]
    agent = np.broadcast_to(others[:, None], there.shape)[there]
    if not len(agent):
        return np.full(len(places), np.nan)
    dx, dy = xy[:, 0] - places[:, 0, None], xy[:, 1] - places[:, 1, None]
    cos, sin = np.cos(course)[:, None], np.sin(course)[:, None]
    along, beside = (dx * cos + dy * sin) / _ALONG_M, (dy * cos - dx * sin) / _BESIDE_M
    off = turned(towards, course[:, None])
    near = np.clip(1 - along**2, 0, None) * np.clip(1 - beside**2, 0, None) * (np.abs(off) < _SIMILAR)
    weight, level, bend = near, np.zeros(len(places)), np.zeros(len(places))
    for width in (0.0, np.radians(12.0), np.radians(6.0)):
        if width:
            away = (off - level[:, None] - bend[:, None] * along) / width
            weight = near * np.clip(1 - away**2, 0, None) ** 2
        # A line over the way, not a mean: in a bend, traffic that is all ahead would tell another direction.
        weighted = weight * along
        s0, s1, s2 = weight.sum(axis=1), weighted.sum(axis=1), (weighted * along).sum(axis=1)
        m0, m1 = (weight * off).sum(axis=1), (weighted * off).sum(axis=1)
        s2 = s2 + _RIDGE * s0
        spread = s0 * s2 - s1 * s1
        known = spread > 1e-9
        spread = np.where(known, spread, 1.0)
        level = np.where(known, (s2 * m0 - s1 * m1) / spread, level)
        bend = np.where(known, (s0 * m1 - s1 * m0) / spread, bend)
    # The samples stand agent by agent: the sums between the borders say which agents are near at all.
    borders = np.flatnonzero(np.diff(agent, prepend=-1))
    support = (np.add.reduceat(near, borders, axis=1) > 0).sum(axis=1)
    return np.where(support >= _LEAST_TRAFFIC, course + level, np.nan)


def _from_map(scene: Scene, places: Float64s, course: Float64s) -> Float64s:
    """Return the direction of the centre line nearest to each place, NaN where none is near and similar."""
    road = np.full(len(places), np.nan)
    lines = [line.astype(np.float64) for line in scene.lanes if len(line) > 1]
    if not lines:
        return road
    start = np.concatenate([line[:-1] for line in lines])
    step = np.concatenate([np.diff(line, axis=0) for line in lines])
    square = np.maximum((step**2).sum(axis=1), 1e-9)
    away = places[:, None] - start
    run = np.clip((away * step).sum(axis=2) / square, 0, 1)
    off = np.hypot(*np.moveaxis(away - run[..., None] * step, -1, 0))
    direction = np.arctan2(step[:, 1], step[:, 0])
    off = np.where(np.abs(turned(direction, course[:, None])) < _SIMILAR, off, np.inf)
    nearest = off.argmin(axis=1)
    found = off[np.arange(len(places)), nearest] < LANE_M
    return np.where(found, direction[nearest], road)


def crossings(motion: Motion, road: Float64s) -> list[int]:
    """List the steps at which the ego crosses from one lane into the next, given the road's direction (T,)."""
    known = np.isfinite(road)
    road = np.where(known, road, motion.held)
    off = turned(motion.held, road)
    across = np.where(motion.moving[0], motion.speed[0] * np.sin(off), 0.0)
    found: list[int] = []
    for flags in (across > _DRIFT, across < -_DRIFT):
        for begin, end in runs(flags & known):
            way = np.cumsum(across[begin:end]) * STEP_S
            lanes = max(1, round(abs(float(way[-1])) / LANE_M))
            if abs(way[-1]) < _CROSSED_M or not _stays_parallel(motion, off, begin, end):
                continue
            around = slice(max(0, begin - _AROUND), end + _AROUND)
            if _unevenness(motion.held[around]) < _unevenness(road[around]):
                continue  # the others swerve, and the ego drives on evenly
            middle = np.searchsorted(np.abs(way), (np.arange(lanes) + 0.5) / lanes * abs(way[-1]))
            found += (begin + middle).tolist()
    return sorted(found)


def _unevenness(angle: Float64s) -> float:
    """Return how far an unwrapped direction is from turning evenly, in radians (standard deviation)."""
    step = np.arange(len(angle)) - (len(angle) - 1) / 2
    away = angle - angle.mean()
    even = step * (step @ away) / max(float(step @ step), 1e-9)
    return float(np.sqrt(((away - even) ** 2).mean()))


def _stays_parallel(motion: Motion, off: Float64s, begin: int, end: int) -> bool:
    """Say whether the ego drives along the same road before and after, in no tight bend."""
    last = min(end, len(off) - 1)
    edge = max(abs(float(off[begin])) if begin else 0.0, abs(float(off[last])) if end < len(off) else 0.0)
    return edge < _PARALLEL and not _bends_tightly(motion, begin, last)


def _bends_tightly(motion: Motion, begin: int, end: int) -> bool:
    """Say whether the ego ends in another direction, after a bend that only crossings and roundabouts have."""
    way = float(motion.path.place[end] - motion.path.place[begin])
    return abs(float(motion.held[end] - motion.held[begin])) * _TIGHTEST_M >= max(way, 1.0)
