"""Turns the rows of a table into records. Pure: columns in, records and rejects out."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.record import Record, Reject
from isthmus.loop.sources import units
from isthmus.loop.sources.batch_settings import BatchSettings
from isthmus.loop.sources.resample import Body, Channel, Motion, cut, on_grid

TEXTS = ("record", "agent", "kind")
NUMBERS = ("step", "time", "x", "y", "heading", "v", "a", "length", "width")

_EPOCH_FLOOR_S = 3e8
"""Times above this count from 1970: a recording's own clock does not run for ten years."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns by quantity, all of one length: numbers as they stand in the table, and texts."""

    numbers: Mapping[str, Doubles]
    texts: Mapping[str, NDArray[np.object_]]

    def take(self, chosen: NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        return Rows(
            {name: column[chosen] for name, column in self.numbers.items()},
            {name: column[chosen] for name, column in self.texts.items()},
        )


@dataclass(frozen=True, slots=True)
class Recording:
    """What is known of a recording beside its rows."""

    record_id: str
    leak_group: str
    tags: tuple[str, ...] = ()


def groups(keys: NDArray[np.object_]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """List the rows of each key, keys in the order in which they first come, rows in theirs."""
    names, first, code = np.unique(keys.astype(str), return_index=True, return_inverse=True)
    order = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code, minlength=len(names)))
    for place in np.argsort(first, kind="stable").tolist():
        begin = int(ends[place - 1]) if place else 0
        yield str(names[place]), order[begin : int(ends[place])]


def records_of_rows(
    rows: Rows, recording: Recording, settings: BatchSettings, where: str
) -> Iterator[Record | Reject]:
    """Make the records of one recording. Tracks that cannot go in are Rejects; the rest goes on."""
    times = _seconds(rows, settings)
    known = np.isfinite(times)
    if not known.any():
        yield Reject(recording.record_id, "not_finite", where, "no row has a time")
        return
    start = float(times[known].min())
    lanes = _lane_numbers(rows)
    motions: list[Motion] = []
    for agent, chosen in groups(rows.texts["agent"]):
        own = chosen[np.argsort(times[chosen], kind="stable")]
        fault = _fault(rows, times, own, agent)
        if fault:
            yield Reject(recording.record_id, fault[0], f"{where}, agent {agent}", fault[1])
            continue
        seconds = times[own] - start
        lane = None if lanes is None else Channel(seconds, lanes[own])
        mine = rows.take(own)
        channels, body = _channels(mine, seconds, settings), _body(mine, agent, settings)
        motions.extend(on_grid(body, channels, start=0.0, longest_gap_s=settings.longest_gap_s, lane=lane))
    yield from cut(
        motions,
        record_id=recording.record_id,
        leak_group=recording.leak_group,
        record_s=settings.record_s,
        tags=(*settings.tags, *recording.tags),
        start=_moment(start) if settings.columns.time else None,
    )


def _seconds(rows: Rows, settings: BatchSettings) -> Doubles:
    if "step" in rows.numbers:
        return rows.numbers["step"] * settings.units.step_s
    return rows.numbers["time"]


def _fault(rows: Rows, times: Doubles, own: NDArray[np.int64], agent: str) -> tuple[str, str] | None:
    if not agent:
        return "missing_field", f"{len(own)} rows name no agent"
    mine = times[own]
    if not np.isfinite(mine).all():
        return "not_finite", f"{int((~np.isfinite(mine)).sum())} of its {len(own)} rows have no time"
    again = np.flatnonzero(np.diff(mine) <= 0)
    if len(again):
        return "duplicate", f"it has two rows at {mine[again[0]]:.3f} s ({len(again)} such times)"
    for name in ("x", "y", "heading", "v"):
        if name not in rows.numbers:
            continue
        bad = ~np.isfinite(rows.numbers[name][own])
        if bad.any() and not (name in ("heading", "v") and bad.all()):  # nothing at all: the path gives it
            value, at = rows.numbers[name][own][bad][0], mine[bad][0]
            return "not_finite", f"{name} is {value} at {at:.3f} s ({int(bad.sum())} of {len(own)} rows)"
    return None


def _channels(rows: Rows, seconds: Doubles, settings: BatchSettings) -> dict[str, Channel]:
    have, unit = rows.numbers, settings.units
    scale = units.LENGTH[unit.position]
    channels = {"x": Channel(seconds, have["x"] * scale), "y": Channel(seconds, have["y"] * scale)}
    if "heading" in have and np.isfinite(have["heading"]).all():
        channels["heading"] = Channel(seconds, units.radians(have["heading"], unit.angle), angular=True)
    if "v" in have and np.isfinite(have["v"]).all():
        channels["v"] = Channel(seconds, have["v"] * units.SPEED[unit.speed])
    if "a" in have:
        channels["a"] = Channel(seconds, have["a"] * units.ACCEL[unit.accel])
    return channels


def _body(rows: Rows, agent: str, settings: BatchSettings) -> Body:
    constants = settings.constants
    size = {}
    for name, otherwise in (("length", constants.length), ("width", constants.width)):
        told = rows.numbers.get(name, np.zeros(0))
        told = told[np.isfinite(told)]
        size[name] = float(np.median(told)) * units.LENGTH[settings.units.size] if len(told) else otherwise
    kind = str(rows.texts["kind"][0]) if "kind" in rows.texts else ""
    return Body(agent, size["length"], size["width"], kind or constants.kind)


def _lane_numbers(rows: Rows) -> Doubles | None:
    """A lane's number as it stands; lanes that have names are numbered in the order of the names."""
    if "lane" in rows.numbers:
        return rows.numbers["lane"]
    if "lane" not in rows.texts:
        return None
    names = rows.texts["lane"].astype(str)
    order, code = np.unique(names, return_inverse=True)
    return np.where(order[code] == "", np.nan, code.astype(np.float64))


def _moment(seconds: float) -> datetime.datetime | None:
    if seconds < _EPOCH_FLOOR_S:
        return None
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):  # a mad time stamp: the record is judged by its states
        return None
