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
        """Return station and offset (left positive) of the nearest place on the path for each of `xy` (..., 2)."""
        flat = np.asarray(xy, np.float64).reshape(-1, 2)
        dx = flat[:, 0, None] - self.points[None, :-1, 0]
        dy = flat[:, 1, None] - self.points[None, :-1, 1]
        along = np.clip(dx * self._unit[:, 0] + dy * self._unit[:, 1], 0.0, self._way)
        far_x, far_y = dx - along * self._unit[:, 0], dy - along * self._unit[:, 1]
        square = far_x * far_x + far_y * far_y
        # NaN positions must not win: they are answered with NaN below, whatever segment argmin names.
        near = np.argmin(square, axis=1)
        rows = np.arange(len(flat))
        station = self.station[near] + along[rows, near]
        side = dy[rows, near] * self._unit[near, 0] - dx[rows, near] * self._unit[near, 1]
        offset = np.copysign(np.sqrt(square[rows, near]), side)
        shape = np.shape(xy)[:-1]
        return station.reshape(shape), offset.reshape(shape)
