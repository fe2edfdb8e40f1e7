"""Records with a known truth: vehicles on a straight or bent road, told by way along it and place across it."""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import Any

import numpy as np

from isthmus.loop.extract import ExtractSettings, row_of, scenes_of
from isthmus.loop.extract.motion import Motion, motion_of
from isthmus.loop.record import Record, Reject, Track
from isthmus.loop.scene import Scene

DT = 0.1
DAY = datetime.date(2026, 11, 20)
LANE_M = 3.7


def clock(seconds: float) -> np.ndarray:
    """Return the times of a recording of that length, first and last included."""
    return np.arange(round(seconds / DT) + 1) * DT


def driver(
    agent: str, along: Any, across: Any = 0.0, *, radius: float = math.inf, first: int = 0, **more: Any
) -> Track:
    """Drive `along` metres of a road that bends left with `radius`, `across` metres left of its middle."""
    along = np.asarray(along, np.float64)
    across = np.broadcast_to(np.asarray(across, np.float64), along.shape)
    if math.isinf(radius):
        x, y = along, across
    else:
        x = (radius - across) * np.sin(along / radius)
        y = radius - (radius - across) * np.cos(along / radius)
    return from_positions(agent, x, y, first=first, **more)


def from_positions(agent: str, x: Any, y: Any, *, first: int = 0, heading: Any = None, **more: Any) -> Track:
    """Make the track of a vehicle that points where it goes."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    vx, vy = np.gradient(x, DT), np.gradient(y, DT)
    course = np.arctan2(vy, vx) if heading is None else np.broadcast_to(heading, x.shape)
    if heading is None:
        still = np.hypot(vx, vy) < 1e-6
        moving = np.flatnonzero(~still)
        if len(moving):
            latest = np.maximum(np.searchsorted(moving, np.arange(len(x)), side="right") - 1, 0)
            course = course[moving[latest]]
    return Track(
        agent,
        np.arange(first, first + len(x), dtype=np.int32),
        *(np.asarray(values, np.float32) for values in (x, y, course, np.hypot(vx, vy), np.full(len(x), np.nan))),
        **more,
    )


def changing(times: np.ndarray, begin: float, end: float, middle_s: float, lasts_s: float = 4.0) -> np.ndarray:
    """Go over from one place across the road to another, smoothly, half of it done at `middle_s`."""
    part = np.clip((times - middle_s) / lasts_s + 0.5, 0, 1)
    return begin + (end - begin) * (part - np.sin(2 * np.pi * part) / (2 * np.pi))


def platoon(
    times: np.ndarray, speed: float = 15.0, *, radius: float = math.inf, lanes: Any = (-1, 1)
) -> list[Track]:
    """Return vehicles that keep their lanes on both sides, so that the road's direction can be seen."""
    return [
        driver(f"p{lane}_{start}", start + speed * times, lane * LANE_M, radius=radius)
        for lane in lanes
        for start in (-45.0, 0.0, 45.0)
    ]


def record_of(*tracks: Track, egos: tuple[str, ...] | None = ("ego",), **more: Any) -> Record:
    return Record(more.pop("record_id", "rec"), more.pop("dt", DT), tracks, "group", egos=egos, **more)


def scenes(record: Record, **settings: Any) -> list[Scene]:
    found = scenes_of(record, source="src", job_type="batch", day=DAY, settings=ExtractSettings(**settings))
    return [scene for scene in found if isinstance(scene, Scene)]


def rejects(record: Record, **settings: Any) -> list[Reject]:
    found = scenes_of(record, source="src", job_type="batch", day=DAY, settings=ExtractSettings(**settings))
    return [item for item in found if isinstance(item, Reject)]


def scene_of(*tracks: Track, **more: Any) -> Scene:
    (scene,) = scenes(record_of(*tracks, **more))
    return scene


def row(*tracks: Track, **more: Any) -> dict[str, Any]:
    return row_of(scene_of(*tracks, **more), "batch")


def seen(*tracks: Track) -> tuple[Scene, Motion]:
    scene = scene_of(*tracks)
    return scene, motion_of(scene)


def moved(record: Record, angle: float, x: float, y: float) -> Record:
    """Turn and shift a record as a whole."""
    cos, sin = math.cos(angle), math.sin(angle)

    def one(track: Track) -> Track:
        heading = track.heading.astype(np.float64) + angle
        return dataclasses.replace(
            track,
            x=(cos * track.x - sin * track.y + x).astype(np.float32),
            y=(sin * track.x + cos * track.y + y).astype(np.float32),
            heading=np.arctan2(np.sin(heading), np.cos(heading)).astype(np.float32),
        )

    return dataclasses.replace(record, tracks=tuple(one(track) for track in record.tracks))
