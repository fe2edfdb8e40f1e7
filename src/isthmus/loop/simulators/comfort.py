"""Is the drive comfortable? The bounds are nuPlan's `ego_is_comfortable`, which NAVSIM takes over.

Accelerations and jerks come from Savitzky-Golay fits as they do there (second order over 8 and 15 steps of 0.1 s;
an odd window of 9 stands for the 8, which would shift by half a step; yaw over 5 steps). One thing is other: for
the jerks the acceleration is taken to hold before the first and after the last step. Read off the end of a
fit, as it is there, a jerk of 3.5 m/s³ that lasts 0.5 s shows as 6.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.scene import HEADING, A, V
from isthmus.loop.simulators.smoothing import savitzky_golay

Array = NDArray[Any]

BOUNDS: Mapping[str, tuple[float, float]] = {
    "longitudinal acceleration": (-4.05, 2.40),
    "lateral acceleration": (-4.89, 4.89),
    "jerk": (-8.37, 8.37),
    "longitudinal jerk": (-4.13, 4.13),
    "yaw rate": (-0.95, 0.95),
    "yaw acceleration": (-1.93, 1.93),
}
"""Least and greatest value: m/s², m/s², m/s³, m/s³, rad/s, rad/s²."""

JERK_WINDOW = 15

OF_THE_PATH = ("lateral acceleration", "jerk", "yaw rate", "yaw acceleration")
"""Bounds that the path decides as much as the speed."""


def series(states: Array, dt: float) -> Mapping[str, Array]:
    """Return each bounded quantity over time, (n,), for the states (n, 5) of one drive."""
    yaw = np.unwrap(np.asarray(states[:, HEADING], np.float64))
    yaw_rate = savitzky_golay(yaw, dt, 5, 2, 1)
    ahead = savitzky_golay(states[:, A], dt, 9, 2)
    aside = savitzky_golay(states[:, V] * yaw_rate, dt, 9, 2)
    return {
        "longitudinal acceleration": ahead,
        "lateral acceleration": aside,
        "jerk": _jerk(np.hypot(ahead, aside), dt),
        "longitudinal jerk": _jerk(ahead, dt),
        "yaw rate": yaw_rate,
        "yaw acceleration": savitzky_golay(yaw, dt, 5, 3, 2),
    }


def _jerk(acceleration: Array, dt: float) -> Array:
    held = np.pad(acceleration, JERK_WINDOW // 2, mode="edge")
    return savitzky_golay(held, dt, JERK_WINDOW, 2, 1)[JERK_WINDOW // 2 : -(JERK_WINDOW // 2)]


def broken(states: Array, dt: float) -> tuple[str, ...]:
    """Name the bounds that the drive breaks."""
    found = series(states, dt)
    return tuple(
        name for name, (low, high) in BOUNDS.items() if not np.all((found[name] > low) & (found[name] < high))
    )


def discomfort(states: Array, recorded: Array | None, dt: float) -> tuple[str, ...]:
    """Name the bounds that a drive breaks and is to answer for.

    The ego is bound to its recorded path, so a lateral or yaw bound that the recorded drive breaks on that same
    path is a trait of the path (or noise of the record) and is not held against the policy, as NAVSIM's
    extended score waives what the human driver violates too. The two longitudinal bounds are the policy's
    own and are never waived.
    """
    found = broken(states, dt)
    if recorded is None or not found:
        return found
    waived = set(broken(recorded, dt)) & set(OF_THE_PATH)
    return tuple(name for name in found if name not in waived)
