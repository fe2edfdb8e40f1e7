"""The scene vector: 32 numbers by which similar driving lies near.

| entries | what                                                             | scale            |
|---------|------------------------------------------------------------------|------------------|
| 0–5     | speed in six equal parts of the scene                            | 10 m/s           |
| 6–11    | acceleration in six parts                                        | 1.5 m/s²         |
| 12–15   | lateral acceleration in four parts, left positive                | 1 m/s²           |
| 16–19   | nearness of the agent ahead in four parts, exp(−gap / 20 m)      | 0.4              |
| 20–23   | speed at which the gap shrinks in four parts, times the nearness | 1 m/s            |
| 24–29   | vehicles in six sectors, from ahead counter-clockwise, Σ exp(−d / 20 m) | 0.6       |
| 30      | agents within 50 m                                               | 10               |
| 31      | inverse time to collision, root of its mean square               | 0.15 1/s         |

The scales are fixed, never learned from what lies in a table: vectors of different days compare, and a vector
never has to be computed again. Each entry is softly bounded (2·tanh(x/2)) so that one wild value does not make a
scene unlike all others, and divided by the root of its group's length so that each group weighs the same. The
Euclidean distance is meant.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.extract.interaction import Lead
from isthmus.loop.extract.motion import Motion
from isthmus.loop.fields import VECTOR_SIZE
from isthmus.loop.forecast import STEP_S

Float64s = NDArray[np.float64]

DENSITY_M = 50.0
_FADE_M = 20.0
_SECTORS = 6


def scene_vector(motion: Motion, lead: Lead, near_agents: float) -> NDArray[np.float32]:
    """Return the vector, float32 (32,), finite. `near_agents` is `density(motion)`."""
    near = np.where(lead.agent >= 0, np.exp(-np.nan_to_num(lead.gap) / _FADE_M), 0.0)
    time_left = lead.time_to_collision()
    urgency = np.where(np.isfinite(time_left), 1 / np.fmax(time_left, 0.5), 0.0)
    groups = (
        _parts(motion.speed[0], 6) / 10.0,
        _parts(motion.accel[0], 6) / 1.5,
        _parts(motion.speed[0] * np.gradient(motion.held, STEP_S), 4) / 1.0,
        _parts(near, 4) / 0.4,
        _parts(near * np.nan_to_num(lead.closing), 4) / 1.0,
        _sectors(motion) / 0.6,
        np.array([near_agents / 10.0]),
        np.array([np.sqrt((urgency**2).mean()) / 0.15]),
    )
    entries = np.concatenate([2 * np.tanh(group / 2) / np.sqrt(len(group)) for group in groups])
    assert len(entries) == VECTOR_SIZE
    return entries.astype(np.float32)


def density(motion: Motion) -> float:
    """Return the mean number of other agents within 50 m of the ego."""
    apart = np.hypot(*np.moveaxis(motion.xy[1:] - motion.xy[0], -1, 0))
    return float((apart < DENSITY_M).sum() / motion.xy.shape[1])


def _parts(values: Float64s, parts: int) -> Float64s:
    """Return the mean in each of `parts` equal parts of the scene, (parts,)."""
    means: Float64s = values @ _hats(len(values), parts)
    return means


@lru_cache(maxsize=512)
def _hats(steps: int, parts: int) -> Float64s:
    """Return the weights of each step in each part, (T, parts): hats that overlap, so that no border is sharp."""
    place = (np.arange(steps) + 0.5) / steps * parts - 0.5
    hats = np.clip(1 - np.abs(place[:, None] - np.arange(parts)), 0, None)
    weights: Float64s = hats / hats.sum(axis=0)
    return weights


def _sectors(motion: Motion) -> Float64s:
    """Return how full each sixth around the ego is, the first being ahead, (6,)."""
    apart = motion.xy[1:] - motion.xy[0]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    there = np.isfinite(distance)
    angle = np.arctan2(apart[..., 1], apart[..., 0]) - motion.held
    place = angle / (2 * np.pi / _SECTORS)
    # A vehicle is shared between the two sectors that it lies between, so that none jumps at a border.
    lower = np.floor(np.where(there, place, 0.0))
    share = np.where(there, place, 0.0) - lower
    weight = np.where(there, np.exp(-np.where(there, distance, 0.0) / _FADE_M), 0.0)
    index = lower.astype(np.int64) % _SECTORS
    filled = np.bincount(index.ravel(), (weight * (1 - share)).ravel(), _SECTORS).astype(np.float64)
    filled += np.bincount((index.ravel() + 1) % _SECTORS, (weight * share).ravel(), _SECTORS)
    mean: Float64s = filled / motion.xy.shape[1]
    return mean
