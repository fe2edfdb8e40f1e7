"""The ego and the others: who is ahead, how far and how fast it closes, and who cuts in.

All of it is seen in the frame of the ego's own recorded path (`path.EgoPath`), so that a lane change of the ego
moves the corridor with it and a bend does not make the vehicle of the next lane one that is ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.extract.kinematics import runs
from isthmus.loop.extract.lanes import changes_of_number, from_traffic
from isthmus.loop.extract.motion import Motion
from isthmus.loop.extract.path import turned
from isthmus.loop.forecast import STEP_S
from isthmus.loop.scene import Scene

Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]

SIDE_M = 0.3
"""Room on either side that the corridor has beyond the two vehicles' half widths."""
ALIGNED = np.radians(45.0)
CUT_IN_M = 40.0
"""An agent that enters the path farther ahead than this does not cut in."""
STAYS_S = 0.5
LEAST_SPEED = 1.0
"""Time headway is only told while the ego drives faster than this, in m/s."""
LEAST_CLOSING = 0.1
"""Time to collision is only told while the gap shrinks faster than this, in m/s."""

_OUTSIDE_M = 0.4  # beyond the corridor: an agent must have been that far outside to come in
_INSIDE_M = 0.2  # within the corridor: an agent must come that far in for a cut-in
_CHANGE_S = 1.5  # before and after the ego crosses into another lane, its path leads from lane to lane
_BEFORE_S, _AFTER_S = 2.0, 1.5  # the time around entering in which the two motions across are compared


@dataclass(frozen=True, slots=True)
class Lead:
    """The agent ahead at each step, all (T,): its index (−1 without one), bumper gap in metres, and by how much
    the ego is faster in m/s; NaN without one."""

    agent: NDArray[np.int64]
    gap: Float64s
    closing: Float64s

    def headway(self, speed: Float64s) -> Float64s:
        """Return the bumper gap as time at the ego's speed (T,), NaN where it hardly drives."""
        return np.where(speed > LEAST_SPEED, self.gap / np.maximum(speed, LEAST_SPEED), np.nan)

    def time_to_collision(self) -> Float64s:
        """Return the time until the gap is used up at present speeds (T,), NaN where it does not shrink."""
        shrinks = self.closing > LEAST_CLOSING
        return np.where(shrinks, self.gap / np.where(shrinks, self.closing, 1.0), np.nan)


@dataclass(frozen=True, slots=True)
class CutIn:
    """Agent `agent` enters the ego's path at `step`, with `gap` metres between the bumpers."""

    agent: int
    step: int
    gap: float


def lead_of(scene: Scene, motion: Motion) -> Lead:
    """Find the nearest agent ahead in the corridor at each step."""
    gap, inside = corridor(scene, motion)
    if not len(gap):
        none = np.full(scene.steps, np.nan)
        return Lead(np.full(scene.steps, -1), none, none)
    ahead = np.where(inside, gap, np.inf)
    nearest = ahead.argmin(axis=0)
    steps = np.arange(scene.steps)
    found = np.isfinite(ahead[nearest, steps])
    agent = nearest + 1
    along_path = motion.speed[agent, steps] * np.cos(
        turned(motion.course[agent, steps], motion.direction[agent, steps])
    )
    return Lead(
        np.where(found, agent, -1),
        np.where(found, np.maximum(ahead[nearest, steps], 0.0), np.nan),
        np.where(found, motion.speed[0] - along_path, np.nan),
    )


def corridor(scene: Scene, motion: Motion) -> tuple[Float64s, Bools]:
    """Return the bumper gap to each other agent and whether it is ahead in the corridor, both (A − 1, T).

    An agent counts as ahead as soon as its rear is ahead of the ego's centre; while the two overlap lengthwise
    it must truly be in front, or it would be one that drives beside.
    """
    half = (scene.size[1:, 1] + scene.size[0, 1])[:, None] / 2
    gap, ahead = _ahead(scene, motion)
    off = np.abs(motion.beside[1:])
    return gap, ahead & (off < np.where(gap < 0, half - SIDE_M, half + SIDE_M))


def _ahead(scene: Scene, motion: Motion) -> tuple[Float64s, Bools]:
    apart = motion.along[1:] - motion.path.place
    gap = apart - (scene.size[1:, 0] + scene.size[0, 0])[:, None] / 2
    aligned = np.abs(turned(motion.course[1:], motion.direction[1:])) < ALIGNED
    return gap, (gap > -scene.size[0, 0] / 2) & aligned


def cut_ins(scene: Scene, motion: Motion, changes: Sequence[int]) -> list[CutIn]:
    """List the agents that come into the ego's path from beside it, at most 40 m ahead, and stay there.

    `changes` are the steps at which the ego changes lanes. An agent that the ego itself comes to be behind of, by
    changing lanes or turning, does not cut in.
    """
    half = (scene.size[1:, 1] + scene.size[0, 1])[:, None] / 2
    gap, ahead = _ahead(scene, motion)
    off = np.abs(motion.beside[1:])
    inside = ahead & (off < half + SIDE_M)
    outside = off > half + SIDE_M + _OUTSIDE_M
    deep = inside & (off < half + SIDE_M - _INSIDE_M)
    stays = round(STAYS_S / STEP_S)
    steps = np.array(changes, np.int64)
    leaves = motion.path.place[np.maximum(steps - round(_CHANGE_S / STEP_S), 0)]
    arrives = motion.path.place[np.minimum(steps + round(_CHANGE_S / STEP_S), scene.steps - 1)]
    found = []
    for row in np.flatnonzero(inside.any(axis=1) & outside.any(axis=1)).tolist():
        was_outside = 0
        for begin, end in runs(inside[row]):
            if not outside[row, was_outside:begin].any():
                was_outside = end
                continue
            enough = end - begin >= stays and deep[row, begin:end].any()
            near = float(gap[row, begin]) <= CUT_IN_M
            if enough:
                was_outside = end
            own = bool(((arrives > motion.path.place[begin]) & (leaves < motion.along[row + 1, begin])).any())
            if enough and near and not own and _comes_by_itself(scene, motion, row + 1, begin):
                found.append(CutIn(row + 1, begin, max(float(gap[row, begin]), 0.0)))
    return sorted(found, key=lambda item: item.step)


def _comes_by_itself(scene: Scene, motion: Motion, agent: int, step: int) -> bool:
    """Say whether the agent's motion across the road, rather than the ego's, brings it into the path."""
    begin = max(0, step - round(_BEFORE_S / STEP_S))
    end = min(scene.steps, step + round(_AFTER_S / STEP_S))
    lane, own = scene.lane[agent, begin:end], scene.lane[0]
    if (lane >= 0).all() and (own >= 0).all():
        return bool(len(changes_of_number(lane)))
    steps = np.arange(begin, end)
    steps = steps[np.isfinite(motion.beside[agent, begin:end]) & motion.moving[agent, begin:end]]
    if len(steps) < 2:
        return False
    course, path = np.unwrap(motion.course[agent, steps]), motion.direction[agent, steps]
    others = np.setdiff1d(np.arange(1, len(scene.states)), [agent])
    road = from_traffic(motion, others, motion.xy[agent, steps], path)
    if np.isnan(road).any():
        # Nobody else tells the road's direction: it is taken to run evenly between before and afterwards.
        ends = course[0] + turned((course + turned(path, course) / 2)[[0, -1]], course[0])
        road = np.where(np.isnan(road), np.interp(steps, steps[[0, -1]], ends), road)
    way = motion.speed[agent, steps] * STEP_S
    agents_own = abs(float((way * np.sin(turned(course, road))).sum()))
    paths_own = abs(float((way * np.sin(turned(path, road))).sum()))
    return agents_own > paths_own
