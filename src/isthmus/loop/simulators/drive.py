"""From what happened on a drive to the Episode that says how good it was: the same for every simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.core.settings import setting
from isthmus.loop.scene import V
from isthmus.loop.simulators.comfort import discomfort
from isthmus.loop.simulators.port import TTC_CAP_S, Episode
from isthmus.loop.simulators.score import Parts, pdm_score, progress_ratio, ttc_within_bound

Array = NDArray[Any]


@dataclass(frozen=True)
class JudgeSettings:
    """What a drive must reach to pass."""

    pass_score: float = setting("score that an episode must reach to pass", default=0.7, minimum=0.0, maximum=1.0)


@dataclass(frozen=True, slots=True)
class Drive:
    """What happened, n steps long.

    `others` is (n + k, A, 5) with sizes `size` (A, 2), without those that can't collide.
    `recorded` is (n, 5), or None where nothing was. `way` and `recorded_way` are in metres. `no_collision` is
    the least NC of the collisions (1 without one).
    """

    scene_id: str
    simulator: str
    policy: str
    dt: float
    start: int
    ego: Array
    ego_size: Array
    recorded: Array | None
    others: Array
    size: Array
    between_lanes: Array
    gap: Array
    leader_speed: Array
    way: float
    recorded_way: float
    collided: bool
    no_collision: float
    ignored: int = 0


def judge(drive: Drive, settings: JudgeSettings) -> Episode:
    """Judge a drive."""
    within = ttc_within_bound(drive.ego, drive.ego_size, drive.others, drive.size, drive.between_lanes, drive.dt)
    broken = discomfort(drive.ego, drive.recorded, drive.dt)
    ratio = progress_ratio(drive.way, drive.recorded_way)
    score = pdm_score(Parts(drive.no_collision, min(1.0, ratio), float(within), float(not broken)))
    recorded = drive.recorded if drive.recorded is not None else np.full_like(drive.ego, np.nan)
    at_fault = drive.no_collision < 1.0
    return Episode(
        scene_id=drive.scene_id,
        simulator=drive.simulator,
        policy=drive.policy,
        dt=drive.dt,
        steps=len(drive.ego),
        start=drive.start,
        collided=drive.collided,
        at_fault=at_fault,
        progress=ratio,
        progress_m=drive.way,
        ttc_min_s=least_ttc(drive.gap, drive.ego[:, V] - drive.leader_speed),
        ttc_within=within,
        comfort=not broken,
        discomfort=broken,
        score=score,
        passed=score >= settings.pass_score and not at_fault,
        ego=drive.ego.astype(np.float32),
        recorded=recorded.astype(np.float32),
        gap=np.where(np.isfinite(drive.gap), drive.gap, np.nan).astype(np.float32),
        ignored=drive.ignored,
    )


def least_ttc(gap: Array, closing: Array) -> float:
    """Return the least gap over closing speed, 0 … TTC_CAP_S seconds; (n,) each, gap inf without a leader."""
    held = np.isfinite(gap) & (closing > 0.1)  # slower than that is noise of the record
    if not held.any():
        return TTC_CAP_S
    return float(np.clip((gap[held] / closing[held]).min(), 0.0, TTC_CAP_S))
