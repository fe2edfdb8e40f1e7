"""Brings irregular samples of moving agents to the grid of the loop (10 Hz) and cuts them into records.

Pure: arrays in, arrays out. Everything here is float64; only `cut` makes the float32 arrays of a record, after
the record was moved near the origin of its frame, so that UTM or state-plane coordinates lose no precision.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.record import Record, Track

DT = 0.1
"""The grid of every record that the shipped job types hand on, in s."""

MOVE_M = 1.0
"""A path gives a heading only over at least this way, in m: a standing vehicle's noise has no direction."""

FAR_M = 10_000.0
"""Coordinates beyond this are moved to the origin: float32 then still resolves about a millimetre."""

_EPSILON_S = 1e-6

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Channel:
    """One quantity as it was sampled: `times` in s, (n,), rising strictly; `values`, (n,)."""

    times: Doubles
    values: Doubles
    angular: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """What does not change about an agent. Lengths in m."""

    agent_id: str
    length: float = 4.8
    width: float = 2.0
    kind: str = "car"


@dataclass(frozen=True, slots=True)
class Motion:
    """One agent over consecutive steps of the grid, all arrays (n,), in the units of a record."""

    body: Body
    step: NDArray[np.int64]
    x: Doubles
    y: Doubles
    heading: Doubles
    v: Doubles
    a: Doubles
    lane: NDArray[np.int64] | None = None


def wrap(angle: Doubles) -> Doubles:
    """Bring angles in rad into [−π, π]."""
    turned: Doubles = np.where(np.abs(angle) <= math.pi, angle, (angle + math.pi) % (2 * math.pi) - math.pi)
    return turned


@dataclass(frozen=True, slots=True)
class Places:
    """Where the times of a grid lie among the times of samples: between `left` and `right`, at `part` of the way.

    `there` is false outside the samples and inside gaps that are too long.
    """

    left: NDArray[np.intp]
    right: NDArray[np.intp]
    part: Doubles
    there: NDArray[np.bool_]


def places(times: Doubles, grid: Doubles, longest_gap_s: float) -> Places:
    """Find the times `grid` among the rising `times`, (n,) with n ≥ 1."""
    last = len(times) - 1
    after = np.searchsorted(times, grid + _EPSILON_S, side="right")
    left = np.maximum(after - 1, 0)
    on_sample = np.abs(times[left] - grid) <= _EPSILON_S
    right = np.where(on_sample, left, np.minimum(after, last))
    gap = times[right] - times[left]
    between = (after > 0) & (after <= last) & (gap > 0) & (gap <= longest_gap_s + _EPSILON_S)
    part = np.divide(grid - times[left], gap, out=np.zeros(len(grid)), where=between & ~on_sample)
    return Places(left, right, part, on_sample | between)


def taken(channel: Channel, at: Places) -> Doubles:
    """Interpolate a channel linearly at places among its times; angles go the short way round.

    NaN where the places are not there; a NaN sample makes NaN of what is interpolated from it.
    """
    values = _unwrapped(channel.values) if channel.angular else channel.values
    mixed = values[at.left] * (1 - at.part) + values[at.right] * at.part
    out: Doubles = np.where(at.there, mixed, np.nan)
    return wrap(out) if channel.angular else out


def _unwrapped(angles: Doubles) -> Doubles:
    """Undo the jumps of an angle, step by step over the finite samples; NaN stays where it is."""
    finite = np.isfinite(angles)
    out = angles.copy()
    out[finite] = np.unwrap(angles[finite])
    return out


def path_heading(x: Doubles, y: Doubles, move_m: float = MOVE_M) -> Doubles:
    """Give the direction of a path in rad, (n,), held while the agent stands.

    The path is thinned to points at least `move_m` apart; the direction is interpolated over the way between
    the middles of its legs. An agent that moves less in all looks along its whole displacement.
    """
    if len(x) == 0:
        return np.zeros(0)
    anchors = _anchors(x, y, move_m)
    if len(anchors) < 2:
        return np.full(len(x), math.atan2(float(y[-1] - y[0]), float(x[-1] - x[0])))
    ax, ay = x[anchors], y[anchors]
    legs = np.hypot(np.diff(ax), np.diff(ay))
    ends = np.concatenate([[0.0], np.cumsum(legs)])
    direction = np.unwrap(np.arctan2(np.diff(ay), np.diff(ax)))
    last = np.searchsorted(anchors, np.arange(len(x)), side="right") - 1
    way = ends[last] + np.minimum(np.hypot(x - ax[last], y - ay[last]), move_m)
    return wrap(np.interp(way, (ends[:-1] + ends[1:]) / 2, direction))


def _anchors(x: Doubles, y: Doubles, move_m: float) -> NDArray[np.int64]:
    kept, ax, ay = [0], float(x[0]), float(y[0])
    for i, (px, py) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        if (px - ax) ** 2 + (py - ay) ** 2 >= move_m * move_m:
            kept.append(i)
            ax, ay = px, py
    return np.array(kept, np.int64)


def path_speed(x: Doubles, y: Doubles, dt: float = DT) -> Doubles:
    """Give the speed along a path on the grid in m/s, (n,), by central differences."""
    if len(x) < 2:
        return np.zeros(len(x))
    speed: Doubles = np.hypot(np.gradient(x, dt), np.gradient(y, dt))
    return speed


def on_grid(
    body: Body,
    channels: Mapping[str, Channel],
    *,
    start: float,
    longest_gap_s: float,
    lane: Channel | None = None,
    dt: float = DT,
) -> list[Motion]:
    """Bring one agent to the grid `start + k·dt`, in as many pieces as its gaps make.

    `channels` holds x and y, and heading, v and a where the source gives them; heading and v are otherwise
    taken from the path, a becomes NaN. The agent is there where all given channels but a are. The first piece
    keeps the agent's id, the later ones get `~2`, `~3` … behind it.
    """
    needed = [channels[name] for name in ("x", "y", "heading", "v") if name in channels]
    if any(not len(channel.times) for channel in needed):
        return []
    motions: list[Motion] = []
    for first_s, last_s in _spans(channels["x"].times, longest_gap_s):
        # only spans with samples get a grid: one mad time stamp must not cost memory for years of steps
        step = _steps(first_s - start, last_s - start, dt)
        grid: Doubles = np.asarray(start + step * dt, np.float64)
        found: dict[int, Places] = {}  # the channels of a table share their times: look them up once
        for channel in channels.values():
            if len(channel.times) and id(channel.times) not in found:
                found[id(channel.times)] = places(channel.times, grid, longest_gap_s)
        there = np.logical_and.reduce([found[id(channel.times)].there for channel in needed])
        sampled = {name: taken(c, found[id(c.times)]) for name, c in channels.items() if len(c.times)}
        lanes = None if lane is None else _held(lane, grid)
        for piece in runs(there):
            x, y = sampled["x"][piece], sampled["y"][piece]
            name = f"{body.agent_id}~{len(motions) + 1}" if motions else body.agent_id
            motions.append(
                Motion(
                    body=Body(name, body.length, body.width, body.kind),
                    step=step[piece],
                    x=x,
                    y=y,
                    heading=sampled["heading"][piece] if "heading" in sampled else path_heading(x, y),
                    v=sampled["v"][piece] if "v" in sampled else path_speed(x, y, dt),
                    a=sampled["a"][piece] if "a" in sampled else np.full(len(x), np.nan),
                    lane=None if lanes is None else lanes[piece],
                )
            )
    return motions


def _spans(times: Doubles, longest_gap_s: float) -> Iterator[tuple[float, float]]:
    """List the spans of time without a longer gap, as (first, last) sample."""
    breaks = np.flatnonzero(np.diff(times) > longest_gap_s + _EPSILON_S)
    firsts, lasts = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(times) - 1]])
    yield from zip(times[firsts].tolist(), times[lasts].tolist(), strict=True)


def _steps(first_s: float, last_s: float, dt: float) -> NDArray[np.int64]:
    first, last = math.ceil((first_s - _EPSILON_S) / dt), math.floor((last_s + _EPSILON_S) / dt)
    return np.arange(first, last + 1, dtype=np.int64)


def averaged(channel: Channel, dt: float = DT) -> Channel:
    """Average a channel that is sampled more than twice as densely as the grid over one step around each sample.

    Without it the vibrations in a 100 Hz IMU would fold into the 10 Hz grid.
    """
    times, values = channel.times, channel.values
    if channel.angular or len(times) < 3 or float(np.median(np.diff(times))) > dt / 2:
        return channel
    low = np.searchsorted(times, times - dt / 2, side="left")
    high = np.searchsorted(times, times + dt / 2, side="right")
    total = np.concatenate([[0.0], np.cumsum(values)])
    return Channel(times, (total[high] - total[low]) / (high - low))


def _held(lane: Channel, grid: Doubles) -> NDArray[np.int64]:
    """A lane is a number that is not interpolated: the last one that was seen holds, −1 before the first."""
    if not len(lane.times):
        return np.full(len(grid), -1, np.int64)
    known = np.where(np.isfinite(lane.values), lane.values, -1).astype(np.int64)
    last = np.searchsorted(lane.times, grid + _EPSILON_S, side="right") - 1
    return np.where(last >= 0, known[np.maximum(last, 0)], -1)


def runs(mask: NDArray[np.bool_]) -> Iterator[slice]:
    """List the runs of true values as slices."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield slice(begin, end)


def cut(
    motions: Sequence[Motion],
    *,
    record_id: str,
    leak_group: str,
    record_s: float,
    tags: tuple[str, ...] = (),
    still: frozenset[str] = frozenset(),
    start: datetime.datetime | None = None,
) -> Iterator[Record]:
    """Cut one recording into records of at most `record_s` seconds, all equally long, in one leak group.

    A recording that is short enough keeps its id; the parts of a longer one get `-000`, `-001` … behind it.
    `still` names agents that shall not become egos. `start` is the time of step 0.
    """
    motions = [motion for motion in motions if len(motion.step)]
    if not motions:
        return
    first = min(int(motion.step[0]) for motion in motions)
    total = max(int(motion.step[-1]) for motion in motions) + 1 - first
    parts = max(1, math.ceil(total / max(1, round(record_s / DT))))
    size = math.ceil(total / parts)
    windows = np.unique(np.concatenate([(motion.step - first) // size for motion in motions]))
    for number in windows.tolist():
        begin = first + number * size
        pieces = [piece for motion in motions if (piece := _window(motion, begin, begin + size)) is not None]
        origin = _origin(pieces)
        moving = tuple(piece.body.agent_id for piece in pieces if piece.body.agent_id not in still)
        if still and not moving:
            continue
        yield Record(
            record_id=record_id if parts == 1 else f"{record_id}-{number:03d}",
            dt=DT,
            tracks=tuple(_track(piece, begin, origin) for piece in pieces),
            leak_group=leak_group,
            tags=tags,
            egos=moving if still else None,
            start=_later(start, begin * DT),
        )


def _later(start: datetime.datetime | None, seconds: float) -> datetime.datetime | None:
    if start is None:
        return None
    try:
        return start + datetime.timedelta(seconds=seconds)
    except OverflowError:  # a mad time stamp: the record is judged by its states
        return None


def _window(motion: Motion, begin: int, end: int) -> Motion | None:
    low, high = np.searchsorted(motion.step, [begin, end])
    if low == high:
        return None
    part = slice(int(low), int(high))
    lane = None if motion.lane is None else motion.lane[part]
    states = (motion.x[part], motion.y[part], motion.heading[part], motion.v[part], motion.a[part])
    return Motion(motion.body, motion.step[part], *states, lane)


def _origin(motions: Sequence[Motion]) -> tuple[float, float]:
    """(0, 0), or a whole-metre point near the agents where they are far from the frame's own origin."""
    x, y = np.concatenate([m.x for m in motions]), np.concatenate([m.y for m in motions])
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any() or max(np.abs(x[finite]).max(), np.abs(y[finite]).max()) <= FAR_M:
        return 0.0, 0.0
    return float(np.round(np.median(x[finite]))), float(np.round(np.median(y[finite])))


def _track(motion: Motion, begin: int, origin: tuple[float, float]) -> Track:
    body = motion.body
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 becomes infinite, which is not finite
        x, y, heading, v, a = (
            array.astype(np.float32)
            for array in (motion.x - origin[0], motion.y - origin[1], motion.heading, motion.v, motion.a)
        )
    return Track(
        agent_id=body.agent_id,
        step=(motion.step - begin).astype(np.int32),
        x=x,
        y=y,
        heading=heading,
        v=v,
        a=a,
        length=body.length,
        width=body.width,
        kind=body.kind,
        lane=None if motion.lane is None else motion.lane.astype(np.int32),
    )
