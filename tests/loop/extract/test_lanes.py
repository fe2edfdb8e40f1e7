from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.loop.extract import row_of
from isthmus.loop.extract.lanes import changes_of_number
from scripted_driving import LANE_M, changing, clock, driver, from_positions, platoon, record_of, row, scenes


@pytest.mark.parametrize("radius", [np.inf, 400.0, -400.0, 120.0])
@pytest.mark.parametrize("target", [LANE_M, -LANE_M])
def test_a_lane_change_is_seen_against_the_traffic_on_straight_and_bent_roads(
    radius: float, target: float
) -> None:
    times = clock(12)
    across = changing(times, 0.0, target, 6.0)
    others = platoon(times, 14.0, radius=radius, lanes=(-2, 2))
    assert row(driver("ego", 15 * times, across, radius=radius), *others)["lane_changes"] == 1


@pytest.mark.parametrize("radius", [np.inf, 400.0, -120.0])
def test_keeping_the_lane_is_no_lane_change(radius: float) -> None:
    times = clock(12)
    wobble = 0.4 * np.sin(times)
    others = platoon(times, 14.0, radius=radius)
    assert row(driver("ego", 15 * times, wobble, radius=radius), *others)["lane_changes"] == 0


def test_two_lanes_in_one_go_are_two_changes_and_there_and_back_are_two() -> None:
    times = clock(16)
    far = changing(times, 0.0, 2 * LANE_M, 8.0, 7.0)
    assert row(driver("ego", 15 * times, far), *platoon(times, 15.0))["lane_changes"] == 2
    back = changing(times, 0.0, LANE_M, 4.0) + changing(times, 0.0, -LANE_M, 11.0)
    assert row(driver("ego", 15 * times, back), *platoon(times, 15.0))["lane_changes"] == 2


def test_swerving_neighbours_do_not_make_the_ego_change_lanes() -> None:
    times = clock(10)
    others = [
        driver(f"s{start}", start + 15 * times, changing(times, LANE_M, 0, 5.0) - 8) for start in (-30, 0, 30)
    ]
    assert row(driver("ego", 15 * times), *others)["lane_changes"] == 0


@pytest.mark.parametrize("side", [1, -1])
def test_a_turn_at_a_crossing_is_no_lane_change(side: int) -> None:
    times = clock(14)
    way = 7 * times
    angle = np.clip((way - 40) / 12, 0, np.pi / 2)
    x = np.where(way < 40, way, 40 + 12 * np.sin(angle))
    y = 12 * (1 - np.cos(angle)) + np.clip(way - 40 - 6 * np.pi, 0, None)
    straight = [
        driver(f"t{start}", start + 10 * times, lane * LANE_M) for start in (-40, 0, 30) for lane in (-1, 0)
    ]
    onward = [
        from_positions(f"n{start}", np.full(len(times), 52.0 + LANE_M), side * (start + 6 * times))
        for start in (0, 20)
    ]
    found = row(from_positions("ego", x, side * y), *straight, *onward)
    assert found["lane_changes"] in (0, None)
    assert found["turn_rad"] == pytest.approx(side * np.pi / 2, abs=0.02)


def test_an_ego_alone_on_an_unknown_road_has_no_known_lane_changes() -> None:
    times = clock(10)
    ego = driver("ego", 15 * times, changing(times, 0, LANE_M, 5))
    assert row(ego)["lane_changes"] is None


@pytest.mark.parametrize("radius", [np.inf, 150.0])
def test_the_map_tells_the_road_where_nobody_else_drives(radius: float) -> None:
    times = clock(10)
    middle = driver("line", np.linspace(-50, 250, 61), radius=radius)
    hint = np.stack([middle.x, middle.y], axis=1)
    for target, expected in ((LANE_M, 1), (0.0, 0)):
        ego = driver("ego", 15 * times, changing(times, 0, target, 5), radius=radius)
        (scene,) = scenes(record_of(ego, lanes=(hint,)))
        assert row_of(scene, "batch")["lane_changes"] == expected


def test_a_standing_ego_changes_no_lanes() -> None:
    ego = from_positions("ego", np.zeros(41), np.zeros(41), heading=0.3)
    assert row(ego)["lane_changes"] == 0


def test_lane_numbers_are_compared_where_the_source_knows_them() -> None:
    times = clock(10)
    lane = np.where(times < 3, 1, np.where(times < 7, 2, 1)).astype(np.int32)
    assert row(driver("ego", 15 * times, lane=lane))["lane_changes"] == 2


def test_another_number_in_the_bend_of_a_crossing_is_another_road() -> None:
    times = clock(10)
    lane = np.where(times < 5, 1, 7).astype(np.int32)
    assert row(driver("ego", 6 * times, radius=12.0, lane=lane))["lane_changes"] == 0
    assert row(driver("ego", 6 * times, radius=200.0, lane=lane))["lane_changes"] == 1


def test_a_number_that_flickers_is_no_lane_change() -> None:
    lane = np.array([1] * 20 + [2] * 3 + [1] * 20 + [-1] * 5 + [2] * 20, np.int16)
    assert changes_of_number(lane) == [48]


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(1, 30)), min_size=1, max_size=8))
def test_there_are_never_more_lane_changes_than_changes_of_the_number(spans: list[tuple[int, int]]) -> None:
    lane = np.concatenate([np.full(count, number, np.int16) for number, count in spans])
    known = lane[lane >= 0]
    assert len(changes_of_number(lane)) <= int((np.diff(known) != 0).sum())
