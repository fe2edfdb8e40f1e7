"""Decides whether a record can go in. One bad track is set aside and the rest of its record stays.

A track is set aside when
 1. its id was seen before in the record (duplicate);
 2. it has no step (empty) or its arrays differ in length (unreadable);
 3. its steps do not rise (out_of_order);
 4. its states hold NaN or infinity, `a` excepted, which may hold NaN (not_finite);
 5. no vehicle moves like that: over 120 m/s, a jump at over 150 m/s, half a second over 60 m/s², a heading
    beyond a full turn, a speed that is not half and not twice the speed along its path (wrong_unit).

A record is set aside as a whole when no track is left, when none of its egos is, or when its longest ego is
shorter than 2 s (too_short). A short track beside longer ones stays: it is a neighbour of somebody.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.record import Record, Reject, Track
from isthmus.loop.sources.resample import runs

MAX_SPEED = 120.0
MAX_JUMP_SPEED = 150.0
MAX_ACCEL = 60.0
SUSTAINED_S = 0.5
MIN_DURATION_S = 2.0

_COMPARED_WAY_M = 20.0
_FULL_TURN = 2 * math.pi + 1e-3

Doubles = NDArray[np.float64]


def validate(record: Record) -> tuple[Record | None, list[Reject]]:
    """Return what can go in, with headings in [−π, π], and why the rest cannot. Never raises on bad values."""
    if not (math.isfinite(record.dt) and record.dt > 0):
        return None, [Reject(record.record_id, "wrong_unit", "record", f"dt is {record.dt} s")]
    if not record.tracks:
        return None, [Reject(record.record_id, "empty", "record", "it has no tracks")]
    rejects: list[Reject] = []
    kept: list[Track] = []
    seen: set[str] = set()
    for track in record.tracks:
        where = f"agent {track.agent_id}"
        fault = ("duplicate", "this agent id comes twice") if track.agent_id in seen else _fault(track, record.dt)
        seen.add(track.agent_id)
        if fault:
            rejects.append(Reject(record.record_id, fault[0], where, fault[1]))
        else:
            kept.append(_turned(track))
    whole = _record_fault(record, kept)
    if whole:
        if kept or not rejects:
            rejects.append(Reject(record.record_id, whole[0], "record", whole[1]))
        return None, rejects
    lanes = []
    for number, line in enumerate(record.lanes):
        if line.ndim == 2 and line.shape[1:] == (2,) and np.isfinite(line).all():
            lanes.append(line)
        else:
            detail = "a map hint is no finite polyline"
            rejects.append(Reject(record.record_id, "not_finite", f"lane line {number}", detail))
    names = {track.agent_id for track in kept}
    egos = None if record.egos is None else tuple(ego for ego in record.egos if ego in names)
    return replace(record, tracks=tuple(kept), egos=egos, lanes=tuple(lanes)), rejects


def _record_fault(record: Record, kept: list[Track]) -> tuple[str, str] | None:
    if not kept:
        return "empty", "no track is left"
    egos = [track for track in kept if record.egos is None or track.agent_id in record.egos]
    if not egos:
        return "empty", "none of its egos is left" if record.egos else "it names no agent as ego"
    longest = max(float(track.step[-1] - track.step[0]) * record.dt for track in egos)
    if longest < MIN_DURATION_S - 1e-6:
        return "too_short", f"its longest ego lasts {longest:.1f} s, a scene needs {MIN_DURATION_S:g} s"
    return None


def _turned(track: Track) -> Track:
    if np.abs(track.heading).max() <= math.pi:
        return track
    turned = np.remainder(track.heading.astype(np.float64) + math.pi, 2 * math.pi) - math.pi
    return replace(track, heading=np.clip(turned.astype(np.float32), -_FLOAT_PI, _FLOAT_PI))


_FLOAT_PI = np.nextafter(np.float32(math.pi), np.float32(0))
"""The greatest float32 that is not above π."""


def _fault(track: Track, dt: float) -> tuple[str, str] | None:
    arrays = {"x": track.x, "y": track.y, "heading": track.heading, "v": track.v, "a": track.a}
    count = len(track.step)
    if count == 0:
        return "empty", "it has no step"
    if any(array.shape != (count,) for array in arrays.values()):
        return "unreadable", "its arrays differ in length"
    if track.lane is not None and track.lane.shape != (count,):
        return "unreadable", "its lane numbers differ in length from its steps"
    stuck = np.flatnonzero(np.diff(track.step.astype(np.int64)) <= 0)
    if len(stuck):
        at = int(stuck[0]) + 1
        return "out_of_order", f"step {track.step[at]} comes after step {track.step[at - 1]}"
    for name, array in arrays.items():
        bad = np.isinf(array) if name == "a" else ~np.isfinite(array)
        if bad.any():
            first = int(np.argmax(bad))
            return "not_finite", f"{name} is {array[first]} at step {track.step[first]} ({int(bad.sum())} in all)"
    if not (0 < track.length < 100 and 0 < track.width < 20):
        return "wrong_unit", f"its size is {track.length:g} × {track.width:g} m"
    return _unit_fault(track, dt)


def _unit_fault(track: Track, dt: float) -> tuple[str, str] | None:
    time = track.step.astype(np.float64) * dt
    x, y, v = (array.astype(np.float64) for array in (track.x, track.y, track.v))
    fast = np.abs(v) > MAX_SPEED
    if fast.any():
        at = int(np.argmax(fast))
        return "wrong_unit", f"v is {v[at]:.1f} m/s at step {track.step[at]}; at most {MAX_SPEED:g} is believed"
    turned = np.abs(track.heading) > _FULL_TURN
    if turned.any():
        at = int(np.argmax(turned))
        return "wrong_unit", f"heading is {track.heading[at]:.1f} rad at step {track.step[at]}: degrees?"
    if len(time) < 2:
        return None
    elapsed = np.diff(time)
    leap = np.hypot(np.diff(x), np.diff(y)) / elapsed
    if (leap > MAX_JUMP_SPEED).any():
        at = int(np.argmax(leap > MAX_JUMP_SPEED))
        return "wrong_unit", f"the position jumps at {leap[at]:.0f} m/s after step {track.step[at]}"
    given = np.abs(np.nan_to_num(track.a.astype(np.float64), nan=0.0))
    for name, values, times in (("a", given, time), ("the change of v", np.abs(np.diff(v)) / elapsed, time[1:])):
        for run in runs(values > MAX_ACCEL):
            if times[run.stop - 1] - times[run.start] >= SUSTAINED_S - 1e-6:
                step = round(float(times[run.start]) / dt)
                return "wrong_unit", f"{name} stays above {MAX_ACCEL:g} m/s² from step {step} on"
    return _speed_fault(time, x, y, v)


def _speed_fault(time: Doubles, x: Doubles, y: Doubles, v: Doubles) -> tuple[str, str] | None:
    """Compare the speed with the path, by chords of about a second so that noise does not lengthen the path."""
    marks = np.unique(np.searchsorted(time, np.arange(time[0], time[-1] + 1e-9, 1.0)))
    marks = np.unique(np.append(marks[marks < len(time)], len(time) - 1))
    driven = float(np.hypot(np.diff(x[marks]), np.diff(y[marks])).sum())
    told = float((np.abs(v[1:] + v[:-1]) / 2 * np.diff(time)).sum())
    if max(driven, told) < _COMPARED_WAY_M or 0.5 * driven <= told <= 2.0 * driven:
        return None
    seconds = float(time[-1] - time[0])
    return (
        "wrong_unit",
        f"v says {told / seconds:.2f} m/s on average, the path {driven / seconds:.2f} m/s: another unit?",
    )
