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
_BEND_KNOTS = 20  # the bend at an end is that of about its last 20 metres
_ARC_M = (0.0, 6.0, 12.0, 18.0, 24.0, 30.0)
_STRAIGHT = 1 / 1500  # 1/m: a bend below this is not followed
_MOST_TURN = np.pi / 4
_OWN_M = 6.0  # the ego's own place is looked for this far around where the path's points say it is


@dataclass(frozen=True, slots=True)
class EgoPath:
    """The way that the ego drives in a scene, and on from both ends: as it bends there for 30 m, then straight.

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
            ahead = reach * np.array([[np.cos(course.mean()), np.sin(course.mean())]])
            before, after = knots - ahead, knots + ahead
        else:
            before, after = _onward(knots[::-1], reach)[::-1], _onward(knots, reach)
        way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
        corners = _corners(knots)
        # The last positions may lie past the last knot by less than a metre: the extension covers them.
        points = np.concatenate([before, knots[corners], after])
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
        along += way[0] - along[len(before)]
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
        nearest = square.argmin(axis=-1)  # where the agent is absent all are NaN, and any will do
        pick = np.arange(nearest.size).reshape(nearest.shape) * len(length) + nearest
        distance = np.sqrt(square.ravel()[pick])
        side = np.where(ux[nearest] * oy.ravel()[pick] - uy[nearest] * ox.ravel()[pick] < 0, -1.0, 1.0)
        along = self.along[nearest] + run.ravel()[pick]
        return along, side * distance, np.arctan2(uy, ux)[nearest]


def _onward(knots: Float64s, reach: float) -> Float64s:
    """Return the points by which the path goes on behind its last knot, for `reach` metres, (k, 2)."""
    heading = _direction(knots)
    if len(knots) > _BEND_KNOTS + _END_KNOTS:
        turn = float(wrapped(np.array(heading - _direction(knots[:-_BEND_KNOTS]))))
        bend = turn / float(np.hypot(*np.diff(knots[-1 - _BEND_KNOTS :], axis=0).T).sum())
    else:
        bend = 0.0
    pieces = np.array([*np.diff(_ARC_M), reach - _ARC_M[-1]]) if abs(bend) > _STRAIGHT else np.array([reach])
    middle = np.minimum(np.cumsum(pieces) - pieces / 2, _ARC_M[-1])
    towards = heading + np.clip(bend * (middle + _END_KNOTS * _KNOT_M / 2), -_MOST_TURN, _MOST_TURN)
    steps = pieces[:, None] * np.stack([np.cos(towards), np.sin(towards)], axis=1)
    onward: Float64s = knots[-1] + np.cumsum(steps, axis=0)
    return onward


def _direction(knots: Float64s) -> float:
    """Return the direction in which the last metres lead."""
    dx, dy = knots[-1] - knots[max(-1 - _END_KNOTS, -len(knots))]
    return float(np.arctan2(dy, dx))


def turned(course: Float64s, direction: Float64s) -> Float64s:
    """Return how far `course` is turned to the left of `direction`, in [−π, π]."""
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
    kept, waiting = {0, len(knots) - 1}, [(0, len(knots) - 1)]
    while waiting:
        first, last = waiting.pop()
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
            waiting += [(first, middle), (middle, last)]
    return np.array(sorted(kept), np.int64)
