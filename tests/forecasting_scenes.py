"""Tiny scenes for the tests of forecasting: made ones, and the real NGSIM ones."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from isthmus.loop.extract import ExtractSettings, scenes_of
from isthmus.loop.record import Record, Track
from isthmus.loop.scene import HEADING, A, Scene, V, X, Y
from samples import SAMPLES

DAY = datetime.date(2026, 11, 20)


def drive(
    name: str,
    *,
    seed: int = 0,
    steps: int = 70,
    agents: int = 4,
    group: str | None = None,
    tags: tuple[str, ...] = (),
    source: str = "made",
) -> Scene:
    """A queue of cars on a bending road whose leader brakes: to be learned, and not by constant velocity."""
    draw = np.random.default_rng(seed)
    brake = draw.uniform(0.5, 3.0) * (1 if draw.random() < 0.7 else -0.3)
    speed = np.maximum(draw.uniform(6, 16) - brake * 0.1 * np.arange(steps), 0.0)
    turn = draw.uniform(-0.15, 0.15)
    states = np.zeros((agents, steps, 5), np.float32)
    heading = draw.uniform(-3, 3) + turn * 0.1 * np.arange(steps)
    way = np.cumsum(np.stack([speed * np.cos(heading), speed * np.sin(heading)], axis=1) * 0.1, axis=0)
    for agent in range(agents):
        behind = np.array([np.cos(heading[0]), np.sin(heading[0])]) * 12.0 * agent
        states[agent, :, X] = way[:, 0] + behind[0]
        states[agent, :, Y] = way[:, 1] + behind[1]
        states[agent, :, HEADING] = heading
        states[agent, :, V] = speed
        states[agent, :, A] = -brake
    return made(name, states, group=group or name, tags=tags, source=source)


def made(
    name: str, states: np.ndarray, *, group: str = "g", tags: tuple[str, ...] = (), source: str = "made"
) -> Scene:
    """A scene of these states, (A, T, 5), the ego first."""
    agents, steps = states.shape[:2]
    speed = states[0, :, V]
    slowdown = np.array([speed[t] - speed[t : t + 31].min() for t in range(steps)], np.float32)
    return Scene(
        scene_id=name,
        source=source,
        day=DAY,
        record_id=group,
        leak_group=group,
        tags=tags,
        dt=0.1,
        agent_ids=tuple(str(number) for number in range(agents)),
        kinds=("car",) * agents,
        origin=np.zeros(2),
        states=states.astype(np.float32),
        size=np.tile(np.array([4.8, 2.0], np.float32), (agents, 1)),
        lane=np.full((agents, steps), -1, np.int16),
        slowdown=slowdown,
    )


def drives(count: int, **how: object) -> list[Scene]:
    """Several made drives, each a leak group of its own."""
    return [drive(f"made.{number}", seed=number, **how) for number in range(count)]  # type: ignore[arg-type]


def packed(scenes: Iterable[Scene], rows: int = 8) -> Iterator[pa.RecordBatch]:
    """The scenes as the warehouse yields them."""
    batch: list[Scene] = []
    for scene in scenes:
        batch.append(scene)
        if len(batch) == rows:
            yield _batch(batch)
            batch = []
    if batch:
        yield _batch(batch)


def ngsim(scenarios: int | None = None) -> Iterator[Scene]:
    """Every vehicle of the NGSIM samples that is seen for 5.1 s or longer, as a scene of its own."""
    folder = SAMPLES / "driving" / "ngsim"
    known = [row for row in pq.read_table(folder / "scenarios.parquet").to_pylist() if row["unique_recording"]]
    states = pq.read_table(folder / "agents.parquet")
    for row in known[:scenarios]:
        table = states.filter(pc.equal(states["scenario_id"], row["scenario_id"]))
        yield from _vehicles(row["scenario_id"], row["leak_group"] or row["scenario_id"], table)


def _vehicles(scenario: str, group: str, table: pa.Table) -> Iterator[Scene]:
    tracks = []
    for agent in pc.unique(table["agent_id"]).to_pylist():
        own = table.filter(pc.equal(table["agent_id"], agent)).sort_by("step")
        column = {
            name: own[name].to_numpy() for name in ("step", "x", "y", "heading", "v", "a", "length", "width")
        }
        length, width = float(column.pop("length")[0]), float(column.pop("width")[0])
        tracks.append(Track(str(agent), **column, length=length, width=width))
    if tracks:
        record = Record(scenario, 0.1, tuple(tracks), group)
        for found in scenes_of(
            record, source="ngsim", job_type="batch", day=DAY, settings=ExtractSettings(min_s=5.1)
        ):
            if isinstance(found, Scene):
                yield found


def _batch(scenes: Sequence[Scene]) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "scene_id": [scene.scene_id for scene in scenes],
            "source": [scene.source for scene in scenes],
            "day": [scene.day for scene in scenes],
            "record_id": [scene.record_id for scene in scenes],
            "leak_group": [scene.leak_group for scene in scenes],
            "tags": pa.array([list(scene.tags) for scene in scenes], pa.list_(pa.string())),
            "complex": pa.array([scene.pack() for scene in scenes], pa.large_binary()),
        }
    )
