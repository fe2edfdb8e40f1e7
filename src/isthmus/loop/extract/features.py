"""All simple fields of a scene (`loop.fields.SCENES`), and rows as Arrow batches.

A number that a scene does not have is None (null), never NaN: no agent ahead, nothing that closes, no hint of
where the road leads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.loop.extract.interaction import cut_ins, lead_of
from isthmus.loop.extract.kinematics import COURSE_HALF_S, EDGE_S, held_course, runs, smooth, stands
from isthmus.loop.extract.lanes import lane_changes
from isthmus.loop.extract.motion import Motion, motion_of
from isthmus.loop.extract.vector import density, scene_vector
from isthmus.loop.fields import SCENES
from isthmus.loop.forecast import STEP_S
from isthmus.loop.scene import HEADING, Scene, V

Float64s = NDArray[np.float64]

_ARROW = pa.schema([pa.field(item.name, item.arrow(), item.nullable) for item in SCENES.fields])


def row_of(scene: Scene, job_type: str) -> dict[str, Any]:
    """Return all fields of a scene, the complex field among them."""
    motion = motion_of(scene)
    row: dict[str, Any] = {
        "scene_id": scene.scene_id,
        "day": scene.day,
        "source": scene.source,
        "job_type": job_type,
        "record_id": scene.record_id,
        "leak_group": scene.leak_group,
        "ego_id": scene.agent_ids[0],
        "tags": list(scene.tags),
        "duration_s": round((scene.steps - 1) * scene.dt, 6),
        "steps": scene.steps,
        "agents": len(scene.states),
        "complex": scene.pack(),
    }
    return row | _own_motion(scene, motion) | _stand_and_go(scene) | _others(scene, motion)


def batch_of(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Put rows into one batch with the Arrow schema of SCENES."""
    return pa.RecordBatch.from_pylist(list(rows), schema=_ARROW)


def _own_motion(scene: Scene, motion: Motion) -> dict[str, Any]:
    speed = scene.ego[:, V].astype(np.float64)
    edge = min(round(EDGE_S / STEP_S), (scene.steps - 1) // 2)
    inner = slice(edge, scene.steps - edge)
    accel, jerk = motion.accel[0, inner], smooth(motion.accel[0])[1][inner]
    across = (motion.speed[0] * smooth(motion.held, COURSE_HALF_S)[1])[inner]
    # Course from positions lags at the ends of a bend; the recorded heading does not, but is noise in a stand.
    heading = np.where(motion.moving[0], scene.ego[:, HEADING].astype(np.float64), np.nan)
    pointing = smooth(held_course(heading, scene.ego[:, HEADING]), COURSE_HALF_S)[0]
    return {
        "distance_m": float(np.abs(speed[1:] + speed[:-1]).sum() / 2 * scene.dt),
        "speed_mean": float(speed.mean()),
        "speed_min": float(speed.min()),
        "speed_max": float(speed.max()),
        "accel_min": float(accel.min()),
        "accel_max": float(accel.max()),
        "jerk_max": float(np.abs(jerk).max()),
        "lat_accel_max": float(np.abs(across).max()),
        "turn_rad": float(pointing[-1] - pointing[0]),
        "slowdown_3s": float(scene.slowdown.max()),
        "speed_profile": speed[:: round(1 / STEP_S)].astype(np.float32),
    }


def _stand_and_go(scene: Scene) -> dict[str, Any]:
    standing = stands(scene.ego[:, V])
    spans = runs(standing)
    return {
        "stops": sum(begin > 0 for begin, _ in spans),
        "starts": sum(end < scene.steps for _, end in spans),
        "stopped_s": round(float(standing.sum()) * STEP_S, 6),
    }


def _others(scene: Scene, motion: Motion) -> dict[str, Any]:
    lead = lead_of(scene, motion)
    changes = lane_changes(scene, motion)
    entering = cut_ins(scene, motion, changes or [])
    crowd = density(motion)
    return {
        "gap_min_m": _least(lead.gap),
        "headway_min_s": _least(lead.headway(motion.speed[0])),
        "ttc_min_s": _least(lead.time_to_collision()),
        "cut_ins": len(entering),
        "cut_in_gap_m": min((item.gap for item in entering), default=None),
        "lane_changes": None if changes is None else len(changes),
        "density": crowd,
        "vector": scene_vector(motion, lead, crowd),
    }


def _least(values: Float64s) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.min()) if len(known) else None
