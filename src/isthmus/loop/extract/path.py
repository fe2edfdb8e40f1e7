"""The ego's own way as a frame: how far along it, and how far beside it, everything else is (Frenet frame)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.extract.dense import wrapped
from isthmus.loop.extract.kinematics import smooth

Float64s = NDArray[np.float64]

_KNOT_M = 1.0  # way between the points that the path is made of: jitter of a standing vehicle adds none
_OFF_M = 0.05  # points that lie nearer than this to the line through their neighbours are left out
_END_KNOTS = 4  # the direction at an end is that of its last metres, not of its last noisy step
_OWN_M = 6.0  # the ego's own place is looked for this far around where the path's points say it is


@dataclass(frozen=True, slots=True)
class EgoPath:
    """The way that the ego drives in a scene, straight on at both ends.

    `points` is (P, 2); `along` (P,) is the way from the first recorded position, so the extension before it is
    negative; `place` (T,) says where the ego is at each step, in the same measure.
    """

    points: Float64s
    along: Float64s
    place: Float64s

    @classmethod
    def of(cls, xy: Float64s, course: Float64s, reach: float) -> EgoPath:
        """Make the path from positions (T, 2) and unwrapped course (T,), `reach` metres longer at each end."""
        smoothed = smooth(xy.T, 0.5)[0].T
        kept = _knots(smoothed)
        knots = smoothed[kept]
        if len(knots) < 2:
            ahead = np.array([np.cos(course.mean()), np.sin(course.mean())])
            begin = end = ahead
        else:
            begin = _unit(knots[min(_END_KNOTS, len(knots) - 1)] - knots[0])
            end = _unit(knots[-1] - knots[max(-1 - _END_KNOTS, -len(knots))])
        way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
        corners = _corners(knots)
        # The last positions may lie past the last knot by less than a metre: the extension covers them.
        points = np.concatenate([[knots[0] - reach * begin], knots[corners], [knots[-1] + reach * end]])
        along = np.concatenate([[-reach], way[corners], [way[-1] + reach]])
        path = cls(points, along, np.zeros(len(xy)))
        rough = np.interp(np.arange(len(xy)), kept, way)
        place, _, _ = path.project(smoothed[None], rough - _OWN_M, rough + _OWN_M)
        return cls(points, along, place[0])

    def project(self, xy: Float64s, low: Float64s, high: Float64s) -> tuple[Float64s, Float64s, Float64s]:
        """Return way along, distance to the left, and the path's direction at the nearest point, all (A, T).

        `xy` is (A, T, 2), NaN where absent. At step t only the path between low[t] and high[t] is looked at:
        where the ego drives a loop, another branch of it is not near.
        """
        start, step = self.points[:-1], np.diff(self.points, axis=0)
        length = np.hypot(step[:, 0], step[:, 1])
        ux, uy = step[:, 0] / length, step[:, 1] / length
        rx, ry = xy[..., 0, None] - start[:, 0], xy[..., 1, None] - start[:, 1]
        least = np.maximum(low[:, None] - self.along[:-1], 0.0)
        most = np.minimum(high[:, None] - self.along[:-1], length)
        run = np.clip(rx * ux + ry * uy, least, most)
        ox, oy = rx - run * ux, ry - run * uy
        square = np.where(least <= most, ox * ox + oy * oy, np.inf)
        nearest = np.where(np.isnan(square), np.inf, square).argmin(axis=-1)
        pick = nearest[..., None]
        distance = np.sqrt(np.take_along_axis(square, pick, -1)[..., 0])
        off_x, off_y = np.take_along_axis(ox, pick, -1)[..., 0], np.take_along_axis(oy, pick, -1)[..., 0]
        side = np.where(ux[nearest] * off_y - uy[nearest] * off_x < 0, -1.0, 1.0)
        along = self.along[nearest] + np.take_along_axis(run, pick, -1)[..., 0]
        return along, side * distance, np.arctan2(uy, ux)[nearest]


def turned(course: Float64s, direction: Float64s) -> Float64s:
    """Return how far `course` is turned to the left of `direction`, in (−π, π]."""
    return wrapped(course - direction)


def _knots(xy: Float64s) -> NDArray[np.int64]:
    """Choose the first position, and then each that is a metre from the one chosen before."""
    kept, (x, y) = [0], xy[0].tolist()
    for index, (px, py) in enumerate(xy.tolist()):
        if (px - x) ** 2 + (py - y) ** 2 >= _KNOT_M**2:
            kept.append(index)
            x, y = px, py
    return np.array(kept, np.int64)


def _corners(knots: Float64s) -> NDArray[np.int64]:
    """Choose the knots that the shape of the path needs (Ramer 1972; Douglas and Peucker 1973)."""
    kept, todo = {0, len(knots) - 1}, [(0, len(knots) - 1)]
    while todo:
        first, last = todo.pop()
        if last - first < 2:
            continue
        chord = knots[last] - knots[first]
        between = knots[first + 1 : last] - knots[first]
        length = float(np.hypot(chord[0], chord[1]))
        if length < _KNOT_M:  # a loop: the chord says nothing, so the farthest point parts it
            off = np.hypot(between[:, 0], between[:, 1])
        else:
            off = np.abs(chord[0] * between[:, 1] - chord[1] * between[:, 0]) / length
        worst = int(off.argmax())
        if off[worst] > _OFF_M:
            middle = first + 1 + worst
            kept.add(middle)
            todo += [(first, middle), (middle, last)]
    return np.array(sorted(kept), np.int64)


def _unit(vector: Float64s) -> Float64s:
    unit: Float64s = vector / np.hypot(vector[0], vector[1])
    return unit
