"""The view that a model has of one agent: its own frame, itself and its nearest neighbours, every step filled.

NumPy alone: simulators and devices use it without PyTorch. An agent-centric frame has its origin at the
agent's present position, x ahead along its present heading and y to the left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.forecast import HISTORY, NEIGHBOURS, STEP_S
from isthmus.loop.scene import HEADING, STATES, A, V, X, Y

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

SLOTS = 1 + NEIGHBOURS
REACH_M = 80.0
"""An agent farther away than this is no neighbour."""

_AGO = (np.arange(HISTORY) - (HISTORY - 1)).astype(np.float32) * np.float32(STEP_S)


def choose(now: Floats, of: Indices) -> Indices:
    """Choose who is looked at: each agent of `of` itself, then its neighbours from the nearest outwards.

    `now` is the agents' present positions, (n, A, 2) or (A, 2) where all n moments are the same one; NaN where
    absent. Returns indices (n, SLOTS), −1 where there is no further neighbour within REACH_M.
    """
    here = now[np.arange(len(of)), of] if now.ndim == 3 else now[of]
    away = now - here[:, None]
    away *= away
    squares = away[..., 0] + away[..., 1]
    squares[np.isnan(squares)] = np.inf
    squares[np.arange(len(of)), of] = -1.0
    if squares.shape[1] > 4 * SLOTS:  # a crowd: sort only those that can be chosen
        near = np.argpartition(squares, SLOTS, axis=1)[:, :SLOTS]
        near = np.take_along_axis(near, np.take_along_axis(squares, near, 1).argsort(axis=1, kind="stable"), 1)
    else:
        near = squares.argsort(axis=1, kind="stable")[:, :SLOTS]
    chosen = np.full((len(of), SLOTS), -1, np.intp)
    chosen[:, : near.shape[1]] = np.where(np.take_along_axis(squares, near, 1) <= REACH_M**2, near, -1)
    return chosen


def localize(raw: Floats) -> tuple[Floats, Floats]:
    """Turn states (n, SLOTS, HISTORY, 5) into each first slot's own frame; returns (local, frame).

    `raw` is NaN where absent and is not changed. `frame` is (n, 4): x, y, cosine and sine of the heading. In
    `local` the steps before an agent appeared are filled as if it had kept its first speed and heading; slots
    that are absent now are NaN throughout.
    """
    origin = raw[:, 0, -1]
    frame = np.empty((len(raw), 4), np.float32)
    frame[:, :2] = origin[:, :2]
    np.cos(origin[:, HEADING], out=frame[:, 2])
    np.sin(origin[:, HEADING], out=frame[:, 3])
    local = np.empty_like(raw)
    cosine, sine = frame[:, 2, None, None], frame[:, 3, None, None]
    dx, dy = raw[..., X] - frame[:, 0, None, None], raw[..., Y] - frame[:, 1, None, None]
    np.add(dx * cosine, dy * sine, out=local[..., X])
    np.subtract(dy * cosine, dx * sine, out=local[..., Y])
    turned = raw[..., HEADING] - origin[:, HEADING, None, None]
    turned -= np.rint(turned * np.float32(0.5 / np.pi)) * np.float32(2 * np.pi)
    local[..., HEADING] = turned
    local[..., V:] = raw[..., V:]
    refill(local)
    return local, frame


def globalize(paths: Floats, frame: Floats) -> Floats:
    """Turn paths (n, K, T, 2) from each agent's own frame back into the frame of the states."""
    x, y, cosine, sine = (frame[:, column, None, None] for column in range(4))
    ahead, left = np.ascontiguousarray(paths[..., 0]), np.ascontiguousarray(paths[..., 1])
    turned = np.empty_like(paths)
    np.add(ahead * cosine - left * sine, x, out=turned[..., 0])
    np.add(ahead * sine + left * cosine, y, out=turned[..., 1])
    return turned


def mirror(local: Floats) -> Floats:
    """Swap left and right: a drive that could as well have been recorded."""
    swapped = local.copy()
    swapped[..., Y] *= -1
    swapped[..., HEADING] *= -1
    return swapped


def refill(local: Floats) -> Floats:
    """Fill backwards what lies before an agent's last unbroken run of presence, in place; returns `local`."""
    absent = np.isnan(local[..., X])
    if not absent.any():
        return local
    absent = np.logical_or.accumulate(absent[..., ::-1], axis=-1)[..., ::-1]
    rows = np.nonzero(absent[..., 0] & ~absent[..., -1])
    if len(rows[0]):
        gap = absent[rows]
        first = gap.sum(axis=1)
        part = local[rows]
        start = part[np.arange(len(first)), first]
        back = start[:, None, V] * (_AGO - _AGO[first][:, None])
        filled = np.repeat(start[:, None], HISTORY, axis=1)
        filled[..., X] += back * np.cos(start[:, None, HEADING])
        filled[..., Y] += back * np.sin(start[:, None, HEADING])
        filled[..., A] = 0.0
        local[rows] = np.where(gap[..., None], filled, part)
    local[absent[..., -1]] = np.nan
    return local


assert STATES == ("x", "y", "heading", "v", "a")  # the slices above rely on this order
