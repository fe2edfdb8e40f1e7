"""From a forecast of the others to the braking that keeps the ego's path free.

Each possible future of each agent near is laid over the ego's path. Where it enters the corridor ahead of where
the ego will be, the ego must stay behind it from then on: with s(h) = v h − b h²/2 that is a least braking b for
every time h, and the greatest of them is what this future asks for. An agent asks for the mean over its futures,
weighted by their probability; the ego obeys the agent that asks for most.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.forecast import HORIZON, STEP_S, Forecaster
from isthmus.loop.simulators.observation import Observation

AHEAD_M = 70.0
BESIDE_M = 25.0
BEHIND_M = 20.0
EVERY = 3
"""Every third step of a forecast is looked at: a car crosses a lane in far more than 0.3 s."""
MOST = 12
"""Agents asked for at once, the nearest ones: bounds the time of a step in dense traffic."""

LEAST_FREE_M = 0.3
"""Keeps the braking finite where the clearance is used up already."""

Array = NDArray[Any]


def required_deceleration(seen: Observation, forecaster: Forecaster, clearance: float, margin: float) -> float:
    """Return the braking in m/s², 0 where the path stays free.

    `clearance` in metres is kept to the agents along the path, `margin` beside it.
    """
    near = _near(seen)
    if len(near) == 0:
        return 0.0
    world = seen.world
    forecast = forecaster(world.history(), world.size.astype(np.float32), near + 1)
    picked = slice(EVERY - 1, HORIZON, EVERY)
    hours = (np.arange(HORIZON)[picked] + 1) * STEP_S
    paths = forecast.paths[:, :, picked].astype(np.float64)
    station, offset = seen.path.project(paths)

    half_along = seen.others.half_along[near][:, None, None]
    half_across = seen.others.half_across[near][:, None, None]
    inside = np.abs(offset) - half_across < seen.width / 2 + margin
    # One that enters behind the ego's place is its follower or passes behind it, and braking would not help.
    ahead = station > seen.station + seen.speed * hours
    first = np.argmax(inside, axis=2)[..., None]
    leads = np.take_along_axis(ahead, first, axis=2)
    free = np.maximum(station - half_along - clearance - seen.station - seen.length / 2, LEAST_FREE_M)
    # The ego can't roll backwards: where it would have stopped before h, stopping short of the place is asked.
    stops = seen.speed * hours > 2.0 * free
    braking = np.where(stops, seen.speed**2 / (2.0 * free), 2.0 * (seen.speed * hours - free) / hours**2)
    asked = np.where(inside & leads, np.maximum(braking, 0.0), 0.0).max(axis=2)
    per_agent = (asked * forecast.probability).sum(axis=1)
    return float(per_agent.max())


def _near(seen: Observation) -> Array:
    others = seen.others
    with np.errstate(invalid="ignore"):
        away = others.station - seen.station
        close = (away > -BEHIND_M) & (away < AHEAD_M) & (np.abs(others.offset) < BESIDE_M)
        follows = (away < 0) & (np.abs(others.offset) - others.half_across < seen.width / 2)
    near = np.flatnonzero(close & ~follows)
    if len(near) > MOST:
        near = np.sort(near[np.argsort(np.abs(away[near]) + np.abs(others.offset[near]), kind="stable")[:MOST]])
    return near
