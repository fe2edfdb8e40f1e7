"""What the network is fed: numbers near one made from an agent's own frame. NumPy alone, used by both twins.

Mirroring a drive changes only the sign of some inputs, so `EGO_MIRROR` and `OTHER_MIRROR` are all that training
needs to see each sample from both sides.
"""

from __future__ import annotations

import numpy as np

from isthmus.loop.forecast import HISTORY, HORIZON, STEP_S
from isthmus.loop.forecasting.frame import Floats
from isthmus.loop.scene import HEADING, V, X, Y

LOOK_EVERY = 5
"""Neighbours are looked at every half second of the history, which makes five looks."""

AHEAD: Floats = np.arange(1, HORIZON + 1, dtype=np.float32) * np.float32(STEP_S)
"""The steps of the future in seconds."""

EGO_MIRROR: Floats = np.concatenate(
    [np.ones(HISTORY), -np.ones(HISTORY), np.ones(HISTORY), np.ones(HISTORY - 1), -np.ones(HISTORY), [1.0]]
).astype(np.float32)
OTHER_MIRROR: Floats = np.concatenate([np.ones(5), -np.ones(5), np.ones(5), [1.0, -1.0, 1.0, 1.0, 1.0]]).astype(
    np.float32
)
EGO_INPUTS = len(EGO_MIRROR)
OTHER_INPUTS = len(OTHER_MIRROR)


def inputs_of(seen: Floats, size: Floats) -> tuple[Floats, Floats, Floats]:
    """Make the inputs of n samples from `seen` (n, SLOTS, HISTORY, 5) and `size` (n, SLOTS, 2).

    Returns the ego's inputs (n, EGO_INPUTS), each neighbour's (n, NEIGHBOURS, OTHER_INPUTS), all zero where
    there is none and with a last input that says whether there is one, and the ego's present speed (n,) in m/s.
    """
    ego = seen[:, 0]
    mine = np.empty((len(seen), EGO_INPUTS), np.float32)
    speed = ego[..., V]
    h = HISTORY
    np.multiply(ego[..., X], np.float32(0.05), out=mine[:, :h])
    np.multiply(ego[..., Y], np.float32(0.5), out=mine[:, h : 2 * h])
    np.multiply(speed, np.float32(0.1), out=mine[:, 2 * h : 3 * h])
    np.subtract(speed[:, 1:], speed[:, :-1], out=mine[:, 3 * h : 4 * h - 1])
    np.multiply(ego[..., HEADING], np.float32(2.0), out=mine[:, 4 * h - 1 : 5 * h - 1])
    np.multiply(size[:, 0, 0], np.float32(0.2), out=mine[:, -1])
    looks, now = seen[:, 1:, ::LOOK_EVERY], seen[:, 1:, -1]
    theirs = np.empty((*now.shape[:2], OTHER_INPUTS), np.float32)
    np.multiply(looks[..., X], np.float32(0.05), out=theirs[..., :5])
    np.multiply(looks[..., Y], np.float32(0.2), out=theirs[..., 5:10])
    np.multiply(looks[..., V], np.float32(0.1), out=theirs[..., 10:15])
    np.cos(now[..., HEADING], out=theirs[..., 15])
    np.sin(now[..., HEADING], out=theirs[..., 16])
    np.multiply(size[:, 1:], np.float32(0.2), out=theirs[..., 17:19])
    theirs[..., 19] = 1.0
    absent = np.isnan(now[..., X])
    if absent.any():
        theirs[absent] = 0.0
    return mine, theirs, np.ascontiguousarray(speed[:, -1])
