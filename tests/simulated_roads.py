"""Scenes written by hand, with known outcomes, and real ones from the NGSIM sample."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow.parquet as pq

from isthmus.loop.extract import ExtractSettings, scenes_of
from isthmus.loop.record import Record, Track
from isthmus.loop.scene import Scene
from samples import SAMPLES

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


@lru_cache(maxsize=2)
def real_scenes(egos_per_recording: int = 1, least_s: float = 5.0) -> tuple[Scene, ...]:
    """Cut scenes from the NGSIM sample: the agents recorded longest of each recording, as egos."""
    table = pq.read_table(SAMPLES / "driving" / "ngsim" / "agents.parquet")
    columns = {name: table[name].to_numpy() for name in table.column_names}
    tracks: dict[str, list[Track]] = {}
    order = np.lexsort((columns["step"], columns["agent_id"], columns["scenario_id"]))
    agent, recording = columns["agent_id"][order], columns["scenario_id"][order]
    cuts = np.flatnonzero((agent[1:] != agent[:-1]) | (recording[1:] != recording[:-1])) + 1
    for rows in np.split(order, cuts):
        tracks.setdefault(str(columns["scenario_id"][rows[0]]), []).append(_track(columns, rows))
    settings = ExtractSettings(min_s=least_s)
    day = datetime.date(2026, 11, 20)
    scenes: list[Scene] = []
    for name, found in tracks.items():
        longest = sorted(found, key=lambda track: (-len(track.step), track.agent_id))[:egos_per_recording]
        record = Record(name, DT, tuple(found), name, egos=tuple(track.agent_id for track in longest))
        cut = scenes_of(record, source="ngsim", job_type="batch", day=day, settings=settings)
        scenes.extend(scene for scene in cut if isinstance(scene, Scene))
    return tuple(scenes)


def _track(columns: dict[str, np.ndarray], rows: np.ndarray) -> Track:
    states = {name: columns[name][rows].astype(np.float32) for name in ("x", "y", "heading", "v", "a")}
    length, width = float(columns["length"][rows[0]]), float(columns["width"][rows[0]])
    agent = str(columns["agent_id"][rows[0]])
    return Track(agent, columns["step"][rows].astype(np.int32), **states, length=length, width=width)
