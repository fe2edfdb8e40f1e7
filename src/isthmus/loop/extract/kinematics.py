"""Speeds, accelerations and courses that noise does not spoil.

Recorded accelerations of camera-tracked traffic are noisy and clipped (NGSIM: ±4.83 m/s²), so acceleration and
jerk come from speed and course from positions, by local linear regression over a second to either side
(Cleveland 1979, tricube weights). Unlike a Savitzky–Golay filter it needs no special case where an agent
appears, vanishes or has a gap.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.forecast import STEP_S

Float64s = NDArray[np.float64]

HALF_S = 1.3
"""Half width of the regression window for speeds, in seconds."""
COURSE_HALF_S = 1.0
"""Half width of the regression window for positions, in seconds."""
EDGE_S = 0.5
"""Slopes this near to a scene's ends rest on one side alone: extremes are not looked for there."""
SLOWDOWN_S = 3.0
_LABEL_HALF_S = 0.7  # narrower, as a wider window rounds off where braking begins and ends
_STANDS, _MOVES = 0.3, 1.0  # m/s: a stand begins below the first and ends above the second
_SHORTEST_STAND_S = 0.5


def smooth(values: NDArray[np.floating], half_s: float = HALF_S) -> tuple[Float64s, Float64s]:
    """Return the smoothed values and their slope per second, both (…, T); NaN stays where the input has NaN."""
    shape = values.shape
    rows = values.reshape(-1, shape[-1]).astype(np.float64)
    there = np.isfinite(rows)
    # Each row is taken relative to its own mean: the moments below would cancel badly far from zero.
    filled = np.where(there, rows, 0.0)
    centre = filled.sum(axis=1, keepdims=True) / np.maximum(there.sum(axis=1, keepdims=True), 1)
    filled = np.where(there, filled - centre, 0.0)
    half = round(half_s / STEP_S)
    first, second, third = _weights(shape[-1], half)
    s0, s1, s2 = _full_sums(shape[-1], half)
    part = np.flatnonzero(~there.all(axis=1))
    if len(part):
        mask = there[part].astype(np.float64)
        s0, s1, s2 = (np.tile(total, (len(rows), 1)) for total in (s0, s1, s2))
        s0[part], s1[part], s2[part] = mask @ first, mask @ second, mask @ third
    m0, m1 = filled @ first, filled @ second
    spread = s0 * s2 - s1 * s1
    enough = spread > 1e-9
    spread = np.where(enough, spread, 1.0)
    slope = np.where(enough, (s0 * m1 - s1 * m0) / spread, 0.0)
    level = np.where(enough, (s2 * m0 - s1 * m1) / spread, m0 / np.maximum(s0, 1e-12))
    level, slope = np.where(there, level + centre, np.nan), np.where(there, slope, np.nan)
    return level.reshape(shape), slope.reshape(shape)


def _weights(steps: int, half: int) -> tuple[Float64s, Float64s, Float64s]:
    """Return three (T, T) matrices: column t weighs the steps around t by w, w·u and w·u², u in seconds."""
    size = 64
    while size < steps:
        size *= 2
    first, second, third = _bands(size, half)
    return first[:steps, :steps], second[:steps, :steps], third[:steps, :steps]


@lru_cache(maxsize=512)
def _full_sums(steps: int, half: int) -> tuple[Float64s, Float64s, Float64s]:
    first, second, third = (weight.sum(axis=0) for weight in _weights(steps, half))
    return first, second, third


@lru_cache(maxsize=8)
def _bands(size: int, half: int) -> tuple[Float64s, Float64s, Float64s]:
    apart = np.arange(size)[:, None] - np.arange(size)[None, :]
    weight = np.clip(1 - np.abs(apart / (half + 1)) ** 3, 0, None) ** 3
    away = apart * STEP_S
    return weight, weight * away, weight * away * away


def slowdown(speed: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return for each step the most speed lost within the next 3 s of what is there, in m/s, (T,).

    `speed` (T,) is the recorded speed; it is smoothed first.
    """
    smoothed = smooth(speed, _LABEL_HALF_S)[0]
    reach = round(SLOWDOWN_S / STEP_S) + 1
    padded = np.concatenate([smoothed, np.full(reach - 1, np.inf)])
    least: Float64s = np.lib.stride_tricks.sliding_window_view(padded, reach).min(axis=1)
    lost: NDArray[np.float32] = np.maximum(smoothed - least, 0.0).astype(np.float32)
    return lost


def course_of(states: NDArray[np.floating], heading: int = 2, slowest: float = 1.0) -> tuple[Float64s, Float64s]:
    """Return the direction of motion in radians, from positions, and the speed over ground, both (A, T).

    The direction is NaN below `slowest` m/s, where positions say little. A vehicle that backs up is given the
    direction that its front points to, so that it compares with the direction of its lane.
    """
    velocity = smooth(np.moveaxis(states[..., :2], -1, 0), COURSE_HALF_S)[1]
    speed = np.hypot(velocity[0], velocity[1])
    course = np.arctan2(velocity[1], velocity[0])
    backwards = np.cos(course - states[..., heading]) < 0
    course = np.where(backwards, np.arctan2(-velocity[1], -velocity[0]), course)
    return np.where(speed >= slowest, course, np.nan), speed


def held_course(course: Float64s, heading: NDArray[np.floating]) -> Float64s:
    """Return an unwrapped course (T,) without NaN: a vehicle that stands keeps the direction it came with."""
    known = np.flatnonzero(np.isfinite(course))
    if not len(known):
        mean = np.arctan2(np.sin(heading).mean(), np.cos(heading).mean())
        return np.full(len(course), mean, np.float64)
    latest = np.searchsorted(known, np.arange(len(course)), side="right") - 1
    filled = course[known[np.maximum(latest, 0)]]
    return np.unwrap(filled)


def stands(speed: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Say for each step whether the vehicle stands, (T,).

    A stand begins below 0.3 m/s and ends above 1 m/s, so that crawling noise does not count twice; it lasts
    half a second at least.
    """
    clear = np.where(np.abs(speed) < _STANDS, 1, np.where(np.abs(speed) > _MOVES, 0, -1))
    known = np.flatnonzero(clear >= 0)
    if not len(known):
        return np.zeros(len(speed), np.bool_)
    latest = np.searchsorted(known, np.arange(len(speed)), side="right") - 1
    standing: NDArray[np.bool_] = (clear[known[np.maximum(latest, 0)]] == 1) & (
        (latest >= 0) | (clear[known[0]] == 1)
    )
    for begin, end in runs(standing):
        if (end - begin) * STEP_S < _SHORTEST_STAND_S:
            standing[begin:end] = False
    return standing


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """List the half-open runs in which the flags (T,) are set."""
    padded = np.zeros(len(flags) + 2, np.bool_)
    padded[1:-1] = flags
    edges = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
