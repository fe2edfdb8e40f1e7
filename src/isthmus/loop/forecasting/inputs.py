"""What the network is fed: numbers near one made from an agent's own frame. NumPy alone, used by both twins.

Mirroring a drive changes only the sign of some inputs, so `EGO_MIRROR` and `OTHER_MIRROR` are all that training
needs to see each sample from both sides.
"""

from __future__ import annotations

import numpy as np

from isthmus.loop.forecast import HISTORY, HORIZON, STEP_S
from isthmus.loop.forecasting.frame import Floats
from isthmus.loop.scene import HEADING, V, X, Y

_LOOKS = np.array([0, 5, 10, 15, 20])
"""The steps of the history at which neighbours are looked at: every half second."""

_AHEAD = np.arange(1, HORIZON + 1, dtype=np.float32) * np.float32(STEP_S)

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
    speed = ego[..., V]
    mine = np.concatenate(
        [
            ego[..., X] * np.float32(0.05),
            ego[..., Y] * np.float32(0.5),
            speed * np.float32(0.1),
            speed[:, 1:] - speed[:, :-1],
            ego[..., HEADING] * np.float32(2.0),
            size[:, 0, :1] * np.float32(0.2),
        ],
        axis=1,
    )
    others = seen[:, 1:]
    now = others[:, :, -1]
    there = np.isfinite(now[..., X])
    looks = others[:, :, _LOOKS]
    theirs = np.concatenate(
        [
            looks[..., X] * np.float32(0.05),
            looks[..., Y] * np.float32(0.2),
            looks[..., V] * np.float32(0.1),
            np.cos(now[..., HEADING, None]),
            np.sin(now[..., HEADING, None]),
            size[:, 1:] * np.float32(0.2),
            there[..., None],
        ],
        axis=2,
        dtype=np.float32,
    )
    theirs[~there] = 0.0
    return mine, theirs, np.ascontiguousarray(speed[:, -1])


def straight_on(speed: Floats) -> Floats:
    """Return the constant-velocity paths in the agents' own frames, (n, 1, HORIZON, 2)."""
    paths = np.zeros((len(speed), 1, HORIZON, 2), np.float32)
    paths[:, 0, :, 0] = speed[:, None] * _AHEAD
    return paths
