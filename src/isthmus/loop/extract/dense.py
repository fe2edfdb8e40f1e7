"""Tracks on one 10 Hz grid: resampling, short gaps closed, and the agents near an ego as a dense block.

A record's states are kept as one flat array, track after track, because most tracks of a long recording never
meet; only a scene's own agents are made dense.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.forecast import STEP_S
from isthmus.loop.record import Record, Track
from isthmus.loop.scene import HEADING, STATES, X, Y

Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]

_NEAR = 1e-4  # of a step: float noise that still counts as standing on the grid


@dataclass(frozen=True, slots=True)
class FlatTracks:
    """N tracks on the 10 Hz grid, one after the other.

    `states` is float64 (M, 5) as in Scene, NaN inside gaps that are too long to interpolate; `lane` is int16
    (M,). Track i covers the grid steps first[i] … first[i] + count[i] − 1, at offset[i] of the flat arrays.
    """

    agent_ids: tuple[str, ...]
    kinds: tuple[str, ...]
    size: NDArray[np.float32]
    states: Float64s
    lane: NDArray[np.int16]
    first: Indices
    count: Indices
    offset: Indices

    def segments(self, track: int) -> Iterator[tuple[int, int]]:
        """Yield the half-open runs of grid steps in which the track has no gap."""
        start = self.offset[track]
        there = np.isfinite(self.states[start : start + self.count[track], :4]).all(axis=1)
        edges = np.flatnonzero(np.diff(there, prepend=False, append=False)) + self.first[track]
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            yield int(begin), int(end)

    def overlapping(self, begin: int, end: int) -> Indices:
        """Return the tracks that have a state within the half-open range of grid steps."""
        return np.flatnonzero((self.first < end) & (self.first + self.count > begin))

    def places(self, tracks: Indices, begin: int, end: int) -> tuple[Indices, Bools]:
        """Return where in the flat arrays each track's steps lie, and whether it has them, both (n, T)."""
        step = np.arange(begin, end)[None, :] - self.first[tracks, None]
        there = (step >= 0) & (step < self.count[tracks, None])
        return self.offset[tracks, None] + np.where(there, step, 0), there

    def block(self, tracks: Indices, begin: int, end: int) -> tuple[Float64s, NDArray[np.int16]]:
        """Return states (n, T, 5), NaN where absent, and lanes (n, T), −1 where absent."""
        at, there = self.places(tracks, begin, end)
        states = self.states[at]
        states[~there] = np.nan
        return states, np.where(there, self.lane[at], np.int16(-1))


def flatten(record: Record, gap_s: float) -> FlatTracks:
    """Put all tracks of a record on the 10 Hz grid; gaps up to `gap_s` are interpolated linearly."""
    parts = [_resample(track, record.dt, gap_s) for track in record.tracks]
    count = np.array([len(states) for _, states, _ in parts], np.int64)
    return FlatTracks(
        agent_ids=tuple(track.agent_id for track in record.tracks),
        kinds=tuple(track.kind for track in record.tracks),
        size=np.array([(track.length, track.width) for track in record.tracks], np.float32).reshape(-1, 2),
        states=np.concatenate([states for _, states, _ in parts]) if parts else np.zeros((0, len(STATES))),
        lane=np.concatenate([lane for _, _, lane in parts]) if parts else np.zeros(0, np.int16),
        first=np.array([first for first, _, _ in parts], np.int64),
        count=count,
        offset=np.cumsum(count) - count,
    )


def _resample(track: Track, dt: float, gap_s: float) -> tuple[int, Float64s, NDArray[np.int16]]:
    """Return (first grid step, states (n, 5), lane (n,)) of one track."""
    values = np.stack([track.x, track.y, track.heading, track.v, track.a], axis=1).astype(np.float64)
    lane = np.full(len(values), -1, np.int16) if track.lane is None else track.lane.astype(np.int16)
    at = track.step * (dt / STEP_S)
    first, last = int(np.ceil(at[0] - _NEAR)), int(np.floor(at[-1] + _NEAR))
    if last - first + 1 == len(at) and np.abs(at - np.arange(first, last + 1)).max(initial=0.0) < _NEAR:
        return first, values, lane
    grid = np.arange(first, last + 1, dtype=np.float64)
    if len(at) < 2 or not len(grid):
        return first, values[: len(grid)], lane[: len(grid)]
    left = np.clip(np.searchsorted(at, grid + _NEAR, side="right") - 1, 0, len(at) - 2)
    width = at[left + 1] - at[left]
    weight = np.clip((grid - at[left]) / width, 0.0, 1.0)
    weight = np.where(weight < _NEAR, 0.0, np.where(weight > 1 - _NEAR, 1.0, weight))
    values[:, HEADING] = np.unwrap(values[:, HEADING])
    # Where the grid meets a state exactly, its neighbour must not weigh in: 0 × NaN would spoil it.
    begin, end = values[left], values[left + 1]
    states = np.where(
        weight[:, None] == 0,
        begin,
        np.where(weight[:, None] == 1, end, begin + (end - begin) * weight[:, None]),
    )
    states[(width * STEP_S > gap_s + _NEAR) & (weight > 0) & (weight < 1)] = np.nan
    states[:, HEADING] = wrapped(states[:, HEADING])
    return first, states, np.where(weight < 0.5, lane[left], lane[left + 1]).astype(np.int16)


def nearest_agents(flat: FlatTracks, ego: int, begin: int, end: int, radius_m: float, most: int) -> Indices:
    """Choose a scene's agents: the ego first, then those that come within `radius_m` of it, nearest first.

    Equal distances are ordered by agent id, so that the order of the tracks in a record means nothing.
    """
    tracks = flat.overlapping(begin, end)
    tracks = tracks[tracks != ego]
    at, there = flat.places(tracks, begin, end)
    own, _ = flat.places(np.array([ego]), begin, end)
    dx = flat.states[at, X] - flat.states[own, X]
    dy = flat.states[at, Y] - flat.states[own, Y]
    square = dx * dx + dy * dy
    least = np.sqrt(np.where(there & (square == square), square, np.inf).min(axis=1, initial=np.inf))
    near = np.flatnonzero(least <= radius_m).tolist()
    rounded = least.round(3).tolist()
    order = sorted(near, key=lambda row: (rounded[row], flat.agent_ids[tracks[row]]))
    return np.array([ego, *tracks[order[: most - 1]]], np.int64)


def wrapped(angle: Float64s) -> Float64s:
    """Bring angles into [−π, π]."""
    return angle - 2 * np.pi * np.rint(angle / (2 * np.pi))
