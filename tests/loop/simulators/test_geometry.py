from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from isthmus.loop.simulators.geometry import Path, overlap

side = st.floats(0.5, 12.0)
box = st.tuples(st.floats(-10, 10), st.floats(-10, 10), st.floats(-np.pi, np.pi), side, side).map(
    lambda values: np.array(values)
)


def corners(one: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, heading, length, width = one
    local = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * [length / 2, width / 2]
    turn = np.array([[np.cos(heading), np.sin(heading)], [-np.sin(heading), np.cos(heading)]])
    return local @ turn + [x, y]


def holds(one: NDArray[np.float64], points: NDArray[np.float64], grow: float) -> NDArray[np.bool_]:
    x, y, heading, length, width = one
    dx, dy = points[:, 0] - x, points[:, 1] - y
    along, across = dx * np.cos(heading) + dy * np.sin(heading), dy * np.cos(heading) - dx * np.sin(heading)
    return (np.abs(along) <= length / 2 + grow) & (np.abs(across) <= width / 2 + grow)


def grid(one: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points that cover the box, borders included, at most 0.25 m apart along each side."""
    a, b, _, d = corners(one)
    u, v = np.meshgrid(np.linspace(0, 1, 50), np.linspace(0, 1, 50))
    return a + u.reshape(-1, 1) * (b - a) + v.reshape(-1, 1) * (d - a)


@given(box, box)
def test_boxes_overlap_exactly_where_a_search_by_brute_force_finds_a_common_point(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> None:
    points = grid(a)
    if holds(b, points, 0.0).any():
        assert bool(overlap(a, b))
    elif not holds(b, points, 0.25).any():  # no point of a within a grid step of b
        assert not bool(overlap(a, b))


@given(box, box, st.floats(-np.pi, np.pi), st.floats(-50, 50))
def test_overlap_is_mutual_and_does_not_depend_on_the_frame(
    a: NDArray[np.float64], b: NDArray[np.float64], turn: float, shift: float
) -> None:
    assert bool(overlap(a, b)) == bool(overlap(b, a))
    moved = []
    for one in (a, b):
        x, y = one[0] * np.cos(turn) - one[1] * np.sin(turn), one[0] * np.sin(turn) + one[1] * np.cos(turn)
        moved.append(np.array([x + shift, y - shift, one[2] + turn, one[3], one[4]]))
    grown, shrunk = a.copy(), a.copy()
    grown[3:] += 1e-6
    shrunk[3:] -= 1e-6
    if bool(overlap(grown, b)) == bool(overlap(shrunk, b)):  # not on the very edge, where rounding decides
        assert bool(overlap(*moved)) == bool(overlap(a, b))


def test_an_absent_agent_overlaps_nothing() -> None:
    here = np.array([0.0, 0.0, 0.0, 4.0, 2.0])
    assert not bool(overlap(here, np.full(5, np.nan)))


def test_many_boxes_are_judged_at_once() -> None:
    ego = np.array([0.0, 0.0, 0.0, 4.0, 2.0])
    others = np.array([[3.9, 0.0, 0.0, 4.0, 2.0], [4.1, 0.0, 0.0, 4.0, 2.0], [0.0, 2.5, np.pi / 2, 4.0, 2.0]])
    assert overlap(ego, others).tolist() == [True, False, True]


@given(st.floats(5.0, 80.0), st.floats(-1.2, 1.2), st.floats(-2.0, 2.0))
def test_a_place_beside_a_bend_is_found_at_its_station_and_offset(
    radius: float, angle: float, away: float
) -> None:
    turns = np.arange(-1.5, 1.5, 1.0 / radius)
    path = Path(np.stack([radius * np.sin(turns), radius * (1 - np.cos(turns))], axis=1))
    place = np.array([(radius - away) * np.sin(angle), radius - (radius - away) * np.cos(angle)])
    station, offset = path.project(place[None])
    assert station[0] == pytest.approx((angle + 1.5) * radius, abs=0.15 * max(1, abs(away)))
    assert offset[0] == pytest.approx(away, abs=1.0 / (8 * radius) + 0.03)


def test_a_path_goes_straight_on_at_both_ends() -> None:
    path = Path(np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]))
    assert path.pose(50.0) == pytest.approx((50.0, 0.0, 0.0))
    assert path.pose(-50.0) == pytest.approx((-50.0, 0.0, 0.0))
    station, offset = path.project(np.array([[30.0, 1.0], [-7.0, -2.0], [1.5, 0.0]]))
    assert station == pytest.approx([30.0, -7.0, 1.5])
    assert offset == pytest.approx([1.0, -2.0, 0.0])


@given(st.floats(-70, 300))
def test_a_pose_projects_back_onto_its_station(station: float) -> None:
    turns = np.arange(0, 1.5, 0.05)
    path = Path(np.stack([20 * np.sin(turns), 20 * (1 - np.cos(turns))], axis=1))
    x, y, _ = path.pose(station)
    found, offset = path.project(np.array([[x, y]]))
    assert found[0] == pytest.approx(station, abs=1e-6)
    assert offset[0] == pytest.approx(0.0, abs=1e-6)
