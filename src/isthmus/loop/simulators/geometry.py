"""Oriented boxes, and the path that an ego is bound to. Metres and radians; everything is vectorised."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BACKWARD_M = 80.0
FORWARD_M = 400.0


def boxes(x: Array, y: Array, heading: Array, length: Array, width: Array) -> Array:
    """Stack the parts of boxes into one array (..., 5): centre x, y, heading, length, width."""
    return np.stack(np.broadcast_arrays(x, y, heading, length, width), axis=-1)


def overlap(a: Array, b: Array) -> Array:
    """Say which boxes touch or overlap; `a` and `b` are (..., 5) as from `boxes` and are broadcast.

    Separating axis theorem: two convex shapes are apart exactly if their projections on one of their normals
    are. A box of length or width 0 is a line and is judged right as well. NaN overlaps nothing.
    """
    dx, dy = b[..., 0] - a[..., 0], b[..., 1] - a[..., 1]
    cos_a, sin_a = np.cos(a[..., 2]), np.sin(a[..., 2])
    cos_b, sin_b = np.cos(b[..., 2]), np.sin(b[..., 2])
    along = np.abs(cos_a * cos_b + sin_a * sin_b)
    across = np.abs(sin_a * cos_b - cos_a * sin_b)
    half_la, half_wa = a[..., 3] / 2, a[..., 4] / 2
    half_lb, half_wb = b[..., 3] / 2, b[..., 4] / 2
    touching: Array = (
        (np.abs(dx * cos_a + dy * sin_a) <= half_la + half_lb * along + half_wb * across)
        & (np.abs(dy * cos_a - dx * sin_a) <= half_wa + half_lb * across + half_wb * along)
        & (np.abs(dx * cos_b + dy * sin_b) <= half_lb + half_la * along + half_wa * across)
        & (np.abs(dy * cos_b - dx * sin_b) <= half_wb + half_la * across + half_wa * along)
    )
    return touching


class Path:
    """A line through `points` float64 (p, 2), p ≥ 2, each apart from the next, and straight on at both ends.

    A station is the way along it in metres, 0 at the first point; it may be negative.
    """

    def __init__(self, points: Array) -> None:
        points = np.asarray(points, np.float64)
        ways = np.hypot(*np.diff(points, axis=0).T)
        self.length = float(ways.sum())
        first = (points[0] - points[1]) / ways[0]
        last = (points[-1] - points[-2]) / ways[-1]
        self.points = np.concatenate(
            [points[:1] + first * BACKWARD_M, points, points[-1:] + last * FORWARD_M], dtype=np.float64
        )
        step = np.diff(self.points, axis=0)
        self._way = np.hypot(step[:, 0], step[:, 1])
        self._unit = step / self._way[:, None]
        self.station = np.concatenate([[0.0], np.cumsum(self._way)]) - BACKWARD_M
        tangent = np.unwrap(np.arctan2(self._unit[:, 1], self._unit[:, 0]))
        # Heading at a corner lies between its two segments; between corners it is interpolated, so it never jumps.
        self.heading = np.concatenate([tangent[:1], (tangent[1:] + tangent[:-1]) / 2, tangent[-1:]])
        self.heading[1], self.heading[-2] = tangent[0], tangent[-1]
        self._centre = points.mean(axis=0)
        inner = (points - self._centre).astype(np.float32)
        self._inner, self._half_square = inner.T.copy(), (inner * inner).sum(axis=1) / 2
        self._s = self.station.tolist()
        self._xyh = np.column_stack([self.points, self.heading]).tolist()

    def pose(self, station: float) -> tuple[float, float, float]:
        """Return x, y and heading at one station."""
        i = min(max(bisect_right(self._s, station) - 1, 0), len(self._s) - 2)
        part = (station - self._s[i]) / (self._s[i + 1] - self._s[i])
        (x0, y0, h0), (x1, y1, h1) = self._xyh[i], self._xyh[i + 1]
        return x0 + part * (x1 - x0), y0 + part * (y1 - y0), h0 + part * (h1 - h0)

    def heading_at(self, station: Array) -> Array:
        """Return the heading at each station, unwrapped."""
        found: Array = np.interp(station, self.station, self.heading)
        return found

    def project(self, xy: Array) -> tuple[Array, Array]:
        """Return station and offset (left positive) of the nearest place on the path for each of `xy` (..., 2).

        Exact where the points are spaced evenly enough that the nearest segment begins or ends at the
        nearest point, which holds for paths driven at 10 Hz.
        """
        flat = np.asarray(xy, np.float64).reshape(-1, 2)
        # The nearest point by one matrix product: |q − p|² without |q|², which is the same for all points p.
        centred = (flat - self._centre).astype(np.float32)
        near = 1 + np.argmin(self._half_square - centred @ self._inner, axis=1)
        before = self._on_segment(flat, near - 1)
        after = self._on_segment(flat, near)
        first = before[0] <= after[0]
        square, station, side = (np.where(first, one, two) for one, two in zip(before, after, strict=True))
        shape = np.shape(xy)[:-1]
        return station.reshape(shape), np.copysign(np.sqrt(square), side).reshape(shape)

    def _on_segment(self, flat: Array, index: Array) -> tuple[Array, Array, Array]:
        """Return squared distance, station and side of each place as seen from one segment each."""
        away = flat - self.points[index]
        unit, way = self._unit[index], self._way[index]
        along = away[:, 0] * unit[:, 0] + away[:, 1] * unit[:, 1]
        side = away[:, 1] * unit[:, 0] - away[:, 0] * unit[:, 1]
        held = np.minimum(np.maximum(along, 0.0), way)
        return side**2 + (along - held) ** 2, self.station[index] + held, side
