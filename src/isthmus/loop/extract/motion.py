"""Everything that is worked out once for a scene and then read by all features: smoothed motion and the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.extract.kinematics import course_of, held_course, smooth
from isthmus.loop.extract.path import EgoPath
from isthmus.loop.scene import HEADING, Scene, V, X, Y

Float64s = NDArray[np.float64]

REACH_M = 100.0
"""How far before and behind the ego the path is looked at."""


@dataclass(frozen=True, slots=True)
class Motion:
    """The motion of all A agents of a scene over its T steps; NaN where an agent is absent.

    `speed` is smoothed; `course` is the direction of motion, the recorded heading where an agent hardly moves;
    `moving` says where the course comes from motion. `held` (T,) is the ego's unwrapped course. `along` and
    `beside` place every agent on the ego's path at each step; `direction` is the path's direction there.
    """

    xy: Float64s
    speed: Float64s
    accel: Float64s
    course: Float64s
    moving: NDArray[np.bool_]
    held: Float64s
    path: EgoPath
    along: Float64s
    beside: Float64s
    direction: Float64s


def motion_of(scene: Scene) -> Motion:
    """Work out the motion of all agents of a scene."""
    states = scene.states.astype(np.float64)
    xy = states[..., [X, Y]]
    speed, accel = smooth(states[..., V])
    course, _ = course_of(states)
    moving = np.isfinite(course)
    held = held_course(course[0], states[0, :, HEADING])
    path = EgoPath.of(xy[0], held, REACH_M)
    along, beside, direction = path.project(xy, path.place - REACH_M, path.place + REACH_M)
    absent = np.isnan(xy[..., 0])
    for place in (along, beside, direction):
        place[absent] = np.nan
    return Motion(
        xy=xy,
        speed=speed,
        accel=accel,
        course=np.where(moving, course, states[..., HEADING]),
        moving=moving,
        held=held,
        path=path,
        along=along,
        beside=beside,
        direction=direction,
    )
