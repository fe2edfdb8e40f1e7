"""Cuts a record into scenes: one for each ego and each window of time, with ids, labels and map hints."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.extract.dense import FlatTracks, flatten, nearest_agents
from isthmus.loop.extract.kinematics import slowdown, smooth
from isthmus.loop.extract.settings import ExtractSettings
from isthmus.loop.forecast import STEP_S
from isthmus.loop.record import Record, Reject
from isthmus.loop.scene import A, Scene, V, X, Y

Float64s = NDArray[np.float64]

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def scenes_of(
    record: Record, *, source: str, job_type: str, day: datetime.date, settings: ExtractSettings
) -> Iterator[Scene | Reject]:
    """Yield the scenes of a validated record, ego by ego in the order of its tracks, windows in order of time.

    Yields one Reject `too_short` instead where the record has no ego with enough steps. `job_type` says where
    the record is from.
    """
    flat = flatten(record, settings.gap_s)
    wanted = None if record.egos is None else set(record.egos)
    count: Counter[str] = Counter()
    for ego, agent in enumerate(flat.agent_ids):
        if wanted is not None and agent not in wanted:
            continue
        for begin, end in _windows(flat, ego, settings):
            scene_id = id_of(source, day, record.record_id, agent, count[agent])
            count[agent] += 1
            yield _scene(record, flat, ego, (begin, end), settings, (scene_id, source, day))
    if not count:
        longest = max(
            (end - begin for ego in range(len(flat.count)) for begin, end in flat.segments(ego)), default=0
        )
        yield Reject(
            record.record_id,
            "too_short",
            f"{source} ({job_type}) {day}",
            f"no ego has {settings.min_s:g} s without a gap; the longest of {len(record.tracks)} tracks "
            f"has {max(longest - 1, 0) * STEP_S:.1f} s",
        )


def id_of(source: str, day: datetime.date, record_id: str, ego: str, window: int) -> str:
    """Name a scene. Characters other than letters, digits, _ and - become _; a digest then keeps names apart."""
    return f"{_plain(source)}.{day:%Y%m%d}.{_plain(record_id)}.{_plain(ego)}.{window}"


def _plain(part: str) -> str:
    safe = _UNSAFE.sub("_", part)
    if safe == part and part:
        return part
    digest = hashlib.blake2s(part.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{safe}-{digest}"


def _windows(flat: FlatTracks, ego: int, settings: ExtractSettings) -> Iterator[tuple[int, int]]:
    """Yield half-open windows of grid steps; a scene of T steps lasts (T − 1) · 0.1 s."""
    longest, least = round(settings.scene_s / STEP_S) + 1, round(settings.min_s / STEP_S) + 1
    for first, last in flat.segments(ego):
        for begin in range(first, last, longest):
            end = min(begin + longest, last)
            if end - begin >= least:
                yield begin, end


def _scene(
    record: Record,
    flat: FlatTracks,
    ego: int,
    window: tuple[int, int],
    settings: ExtractSettings,
    named: tuple[str, str, datetime.date],
) -> Scene:
    agents = nearest_agents(flat, ego, *window, settings.radius_m, settings.max_agents)
    states, lane = flat.block(agents, *window)
    states[~np.isfinite(states[..., :A]).all(axis=2)] = np.nan
    origin = states[0, 0, [X, Y]].copy()
    states[..., [X, Y]] -= origin
    unknown = np.isnan(states[..., A]) & np.isfinite(states[..., V])
    if unknown.any():
        states[..., A] = np.where(unknown, smooth(states[..., V])[1], states[..., A])
    lane[np.isnan(states[..., X])] = -1
    scene_id, source, day = named
    return Scene(
        scene_id=scene_id,
        source=source,
        day=day,
        record_id=record.record_id,
        leak_group=record.leak_group,
        tags=record.tags,
        dt=STEP_S,
        agent_ids=tuple(flat.agent_ids[agent] for agent in agents),
        kinds=tuple(flat.kinds[agent] for agent in agents),
        origin=origin,
        states=states.astype(np.float32),
        size=flat.size[agents],
        lane=lane,
        slowdown=slowdown(states[0, :, V]),
        lanes=_near_lanes(record.lanes, origin, states[0][:, [X, Y]], settings.radius_m),
    )


def _near_lanes(
    lanes: tuple[NDArray[np.float32], ...], origin: Float64s, way: Float64s, radius_m: float
) -> tuple[NDArray[np.float32], ...]:
    """Return the part of each centre line that lies within `radius_m` of the ego's way, relative to `origin`."""
    near = []
    places = way[:: round(1 / STEP_S)]
    for line in lanes:
        points = line.astype(np.float64) - origin
        if len(points) < 2 or _outside(points, places, radius_m):
            continue
        step = np.diff(points, axis=0)
        away = places[:, None] - points[:-1]
        run = np.clip((away * step).sum(axis=2) / np.maximum((step**2).sum(axis=1), 1e-9), 0, 1)
        off = np.hypot(*np.moveaxis(away - run[..., None] * step, -1, 0)).min(axis=0)
        kept = np.flatnonzero(off <= radius_m)
        if len(kept):
            near.append(points[kept[0] : kept[-1] + 2].astype(np.float32))
    return tuple(near)


def _outside(points: Float64s, places: Float64s, radius_m: float) -> bool:
    apart = np.maximum(points.min(axis=0) - places.max(axis=0), places.min(axis=0) - points.max(axis=0))
    return bool((apart > radius_m).any())
