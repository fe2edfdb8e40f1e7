"""Scenes written by hand, with known outcomes, and real ones from the NGSIM sample."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from samples import SAMPLES

from isthmus.loop.scene import Scene

DT = 0.1
LENGTH, WIDTH = 4.8, 2.0


@dataclass(frozen=True)
class Car:
    """A car on the x axis (or a parallel to it): where it starts and its speed at each step."""

    x: float
    speed: Sequence[float] | float
    y: float = 0.0
    heading: float = 0.0
    lane: int = -1
    kind: str = "car"
    first: int = 0


def scene(*cars: Car, steps: int = 80, scene_id: str = "made") -> Scene:
    """Make a scene; the first car is the ego."""
    states = np.full((len(cars), steps, 5), np.nan, np.float32)
    lane = np.full((len(cars), steps), -1, np.int16)
    for row, car in enumerate(cars):
        speed = np.broadcast_to(np.asarray(car.speed, float), (steps,))
        way = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * DT)])
        states[row, :, 0] = car.x + way * np.cos(car.heading)
        states[row, :, 1] = car.y + way * np.sin(car.heading)
        states[row, :, 2] = car.heading
        states[row, :, 3] = speed
        states[row, :, 4] = np.gradient(speed, DT)
        states[row, : car.first] = np.nan
        lane[row] = car.lane
    return finished(states, lane, [car.kind for car in cars], scene_id)


def finished(
    states: np.ndarray, lane: np.ndarray, kinds: Sequence[str], scene_id: str, size: np.ndarray | None = None
) -> Scene:
    """Make a Scene of arrays."""
    count = len(states)
    return Scene(
        scene_id=scene_id,
        source="made",
        day=datetime.date(2026, 11, 20),
        record_id=scene_id,
        leak_group=scene_id,
        tags=(),
        dt=DT,
        agent_ids=tuple(str(row) for row in range(count)),
        kinds=tuple(kinds),
        origin=np.zeros(2),
        states=states,
        size=np.tile(np.array([LENGTH, WIDTH], np.float32), (count, 1)) if size is None else size,
        lane=lane,
        slowdown=np.zeros(states.shape[1], np.float32),
    )


def real_scenes(least_steps: int = 60, egos_per_recording: int = 4, reach_m: float = 60.0) -> list[Scene]:
    """Cut scenes from the NGSIM sample: the agents recorded longest of each recording, as egos."""
    import pyarrow.parquet as pq

    table = pq.read_table(SAMPLES / "driving" / "ngsim" / "agents.parquet").to_pandas()
    scenes = []
    for recording, rows in table.groupby("scenario_id"):
        spans = rows.groupby("agent_id").step.agg(["min", "max", "count"])
        whole = spans[spans["count"] >= least_steps].sort_values("count", ascending=False, kind="stable")
        for ego in whole.index[:egos_per_recording]:
            scenes.append(_cut(str(recording), rows, ego, spans.loc[ego], reach_m))
    return scenes


def _cut(recording: str, rows, ego: int, span, reach_m: float) -> Scene:  # noqa: ANN001
    first, steps = int(span["min"]), int(span["max"] - span["min"] + 1)
    during = rows[(rows.step >= first) & (rows.step < first + steps)]
    agents = [ego, *(agent for agent in during.agent_id.unique() if agent != ego)]
    states = np.full((len(agents), steps, 5), np.nan, np.float32)
    size = np.zeros((len(agents), 2), np.float32)
    kinds = []
    place = {agent: row for row, agent in enumerate(agents)}
    row_of = during.agent_id.map(place).to_numpy()
    columns = during[["x", "y", "heading", "v", "a"]].to_numpy(np.float32)
    states[row_of, during.step.to_numpy() - first] = np.nan_to_num(columns)
    size[row_of] = during[["length", "width"]].to_numpy(np.float32)
    kinds = during.drop_duplicates("agent_id").set_index("agent_id").type.loc[agents].tolist()
    away = np.hypot(states[:, :, 0] - states[0, :, 0], states[:, :, 1] - states[0, :, 1])
    kept = np.nanmin(away, axis=1) < reach_m
    states = states[kept]
    lane = np.full(states.shape[:2], -1, np.int16)
    kinds = [kind for kind, near in zip(kinds, kept, strict=True) if near]
    return finished(states, lane, kinds, f"{recording}.{ego}", size[kept])
