"""One score for a drive, made as NAVSIM's PDM score is.

    PDMS = NC · DAC · (5 EP + 5 TTC + 2 C) / 12

after Dauner et al., "NAVSIM: Data-Driven Non-Reactive Autonomous Vehicle Simulation and Benchmarking",
NeurIPS 2024 (Datasets and Benchmarks).

- NC, no collision at fault: 1, 0.5 with a thing, 0 with a road user (`contact.py`).
- DAC, drivable area compliance: 1 by construction, since the ego keeps to the path that was really driven.
- EP, ego progress: way over the recorded way, at most 1; 1 where the recorded way is shorter than 5 m.
- TTC: 1 unless the ego, carried on at constant velocity for 0, 0.3, 0.6, 0.9 s, meets another that is ahead of it
  (or beside it while the ego is between lanes). The others are where they were recorded then, and are carried
  on at constant velocity where their record ends. As there, "ahead" compares the ego's place now with the other's
  place then, and so would take a fast follower for one ahead: one that is behind the ego now is left out.
- C, comfort: 1 if no bound of `comfort.py` breaks, else 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.scene import HEADING, V, X, Y
from isthmus.loop.simulators.contact import AHEAD_RAD, BEHIND_RAD, bearing
from isthmus.loop.simulators.geometry import boxes, overlap

Array = NDArray[Any]

TTC_AHEAD_S = (0.0, 0.3, 0.6, 0.9)
SHORT_WAY_M = 5.0
MOVING_M_S = 5e-3


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the score, each 0 to 1."""

    no_collision: float
    progress: float
    ttc: float
    comfort: float
    drivable_area: float = 1.0


def pdm_score(parts: Parts) -> float:
    """Return the score, 0 to 1."""
    weighted = 5.0 * parts.progress + 5.0 * parts.ttc + 2.0 * parts.comfort
    return parts.no_collision * parts.drivable_area * weighted / 12.0


def progress_ratio(way: float, recorded_way: float) -> float:
    """Return way over recorded way, not bounded above; 1 where the recorded way is too short to tell."""
    return 1.0 if recorded_way < SHORT_WAY_M else max(0.0, way) / recorded_way


def ttc_within_bound(
    ego: Array, ego_size: Array, others: Array, size: Array, between_lanes: Array, dt: float
) -> bool:
    """Say whether the ego keeps the bound on time to collision at every step.

    `ego` is (n, 5); `others` is (n + k, A, 5) from the same first step on, NaN where absent, k ≥ 0 steps longer;
    an agent whose first projected meeting is not ahead is left out from then on, as NAVSIM does. `size` is
    (A, 2), `ego_size` (2,), `between_lanes` bool (n,).
    """
    if others.shape[1] == 0:
        return True
    steps = len(ego)
    reach = ego[:, V].max() + 20.0
    with np.errstate(invalid="ignore"):
        near = np.hypot(others[:steps, :, X] - ego[:, None, X], others[:steps, :, Y] - ego[:, None, Y]) < reach
    kept = np.flatnonzero(near.any(axis=0))
    if len(kept) == 0:
        return True
    others, size = others[:, kept], size[kept]
    now = boxes(ego[:, X], ego[:, Y], ego[:, HEADING], ego_size[0], ego_size[1])[:, None]
    follows = bearing(now, others[:steps, :, X], others[:steps, :, Y]) > BEHIND_RAD
    meets, faulty = [], []
    for ahead in TTC_AHEAD_S:
        place = _carried_on(ego, ahead)
        box = boxes(place[:, X], place[:, Y], ego[:, HEADING], ego_size[0], ego_size[1])[:, None]
        then = _recorded_later(others, steps, round(ahead / dt), ahead)
        other = boxes(then[..., X], then[..., Y], then[..., HEADING], size[:, 0], size[:, 1])
        meets.append(overlap(box, other) & (ego[:, V] >= MOVING_M_S)[:, None])
        angle = bearing(now, then[..., X], then[..., Y])
        ahead_of_it = (angle < AHEAD_RAD) | (between_lanes[:, None] & (angle < BEHIND_RAD))
        faulty.append(ahead_of_it & ~follows)
    # (steps · times ahead, agents), in the order in which NAVSIM looks at them
    meeting = np.stack(meets, axis=1).reshape(-1, len(kept))
    fault = np.stack(faulty, axis=1).reshape(-1, len(kept))
    first = meeting.argmax(axis=0)
    columns = np.arange(len(kept))
    return not bool((meeting[first, columns] & fault[first, columns]).any())


def _carried_on(states: Array, ahead: float) -> Array:
    moved = states.copy()
    moved[..., X] += states[..., V] * np.cos(states[..., HEADING]) * ahead
    moved[..., Y] += states[..., V] * np.sin(states[..., HEADING]) * ahead
    return moved


def _recorded_later(others: Array, steps: int, shift: int, ahead: float) -> Array:
    guess = _carried_on(others[:steps], ahead)
    later = np.full_like(guess, np.nan)
    known = others[shift : shift + steps]
    later[: len(known)] = known
    return np.where(np.isnan(later), guess, later)
