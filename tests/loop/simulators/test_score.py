from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from isthmus.loop.simulators.comfort import BOUNDS, broken, discomfort
from isthmus.loop.simulators.drive import least_ttc
from isthmus.loop.simulators.port import TTC_CAP_S
from isthmus.loop.simulators.score import Parts, pdm_score, progress_ratio, ttc_within_bound

unit = st.floats(0, 1)
SIZE = np.array([4.8, 2.0])


@pytest.mark.parametrize(
    ("parts", "score"),
    [
        (Parts(1, 1, 1, 1), 1.0),
        (Parts(1, 1, 1, 0), 10 / 12),
        (Parts(1, 1, 0, 1), 7 / 12),
        (Parts(1, 0, 1, 1), 7 / 12),
        (Parts(1, 0.5, 1, 1), 9.5 / 12),
        (Parts(0.5, 1, 1, 1), 0.5),
        (Parts(0, 1, 1, 1), 0.0),
        (Parts(1, 1, 1, 1, 0), 0.0),
    ],
)
def test_the_score_is_that_of_navsim(parts: Parts, score: float) -> None:
    assert pdm_score(parts) == pytest.approx(score)


@given(unit, unit, unit, unit, st.floats(0, 0.5))
def test_no_part_can_get_worse_without_the_score_getting_no_better(
    progress: float, ttc: float, comfort: float, clear: float, less: float
) -> None:
    whole = pdm_score(Parts(clear, progress, ttc, comfort))
    assert 0.0 <= whole <= 1.0
    assert pdm_score(Parts(clear, progress * less, ttc, comfort)) <= whole
    assert pdm_score(Parts(clear, progress, ttc * less, comfort)) <= whole
    assert pdm_score(Parts(clear, progress, ttc, comfort * less)) <= whole
    assert pdm_score(Parts(clear * less, progress, ttc, comfort)) <= whole


def test_a_recorded_way_under_five_metres_tells_nothing() -> None:
    assert progress_ratio(0.0, 4.9) == 1.0
    assert progress_ratio(0.0, 5.0) == 0.0
    assert progress_ratio(6.0, 5.0) == pytest.approx(1.2)


def moving(x: float, y: float, speed: float, heading: float = 0.0, steps: int = 20) -> NDArray[np.float64]:
    time = np.arange(steps) * 0.1
    one = np.ones(steps)
    return np.column_stack(
        [
            x + speed * np.cos(heading) * time,
            y + speed * np.sin(heading) * time,
            heading * one,
            speed * one,
            0 * one,
        ]
    )


def within(ego: NDArray[np.float64], *others: NDArray[np.float64], between: bool = False) -> bool:
    steps = len(ego)
    crowd = np.stack(others, axis=1)
    size = np.tile(SIZE, (len(others), 1))
    return ttc_within_bound(ego, SIZE, crowd, size, np.full(steps, between), 0.1)


def test_closing_in_on_one_ahead_breaks_the_bound_just_below_nine_tenths_of_a_second() -> None:
    ego = moving(0.0, 0.0, 10.0, steps=1)
    assert not within(ego, moving(4.8 + 8.9, 0.0, 0.0, steps=1))
    assert within(ego, moving(4.8 + 9.1, 0.0, 0.0, steps=1))


def test_a_follower_that_closes_in_does_not_break_the_bound() -> None:
    assert within(moving(0.0, 0.0, 5.0), moving(-8.0, 0.0, 15.0))


def test_one_beside_breaks_the_bound_only_while_the_ego_is_between_lanes() -> None:
    ego = moving(0.0, 0.0, 1.0, steps=3)
    beside = moving(0.0, 5.0, 5.0, heading=-np.pi / 2, steps=3)
    assert within(ego, beside)
    assert not within(ego, beside, between=True)


def test_a_standing_ego_keeps_the_bound() -> None:
    assert within(moving(0.0, 0.0, 0.0), moving(6.0, 0.0, 8.0, heading=np.pi))


def test_the_recorded_future_of_the_others_counts_not_a_guess() -> None:
    ego = moving(0.0, 0.0, 10.0, steps=2)
    braked_before = moving(14.0, 0.0, 10.0, steps=12)
    braked_before[2:, 0] = 14.0  # jumps to a stand, which constant velocity could not know
    assert within(ego, braked_before[:2])
    assert not within(ego, braked_before)


def test_absent_agents_and_an_empty_road_keep_the_bound() -> None:
    ego = moving(0.0, 0.0, 10.0)
    assert within(ego, np.full((20, 5), np.nan))
    assert ttc_within_bound(ego, SIZE, np.zeros((20, 0, 5)), np.zeros((0, 2)), np.zeros(20, bool), 0.1)


def test_the_least_time_to_collision_is_capped_and_ignores_opening_gaps() -> None:
    gap = np.array([10.0, 5.0, np.inf])
    assert least_ttc(gap, np.array([5.0, 5.0, 9.0])) == pytest.approx(1.0)
    assert least_ttc(gap, np.array([-5.0, -5.0, 9.0])) == TTC_CAP_S
    assert least_ttc(np.array([1000.0]), np.array([1.0])) == TTC_CAP_S
    assert least_ttc(np.array([-1.0]), np.array([1.0])) == 0.0


def drive(acceleration: NDArray[np.float64], speed: float = 15.0, yaw_rate: float = 0.0) -> NDArray[np.float64]:
    steps = len(acceleration)
    states = np.zeros((steps, 5))
    states[:, 3] = np.maximum(0.0, speed + np.cumsum(acceleration) * 0.1)
    states[:, 4] = acceleration
    states[:, 2] = yaw_rate * np.arange(steps) * 0.1
    return states


def ramp(top: float, seconds: float, steps: int = 80) -> NDArray[np.float64]:
    return np.clip(np.arange(steps) * 0.1 / seconds, 0, 1) * top


@pytest.mark.parametrize(
    ("states", "names"),
    [
        (drive(np.zeros(80)), ()),
        (drive(ramp(2.3, 3.0), 0.0), ()),
        (drive(ramp(2.6, 3.0), 0.0), ("longitudinal acceleration",)),
        (drive(ramp(-3.9, 3.0), 40.0), ()),
        (drive(ramp(-4.3, 3.0), 40.0), ("longitudinal acceleration",)),
        (drive(np.where(np.arange(80) < 40, 1.5, -3.5), 20.0), ("longitudinal jerk",)),
        (drive(np.zeros(80), 10.0, 0.47), ()),
        (drive(np.zeros(80), 10.0, 0.51), ("lateral acceleration",)),
        (drive(np.zeros(80), 2.0, 1.0), ("yaw rate",)),
    ],
)
def test_each_comfort_bound_breaks_where_it_should(states: NDArray[np.float64], names: tuple[str, ...]) -> None:
    assert broken(states, 0.1) == names


def test_a_bend_that_the_record_drives_too_hard_is_not_held_against_the_policy_but_braking_is() -> None:
    fast = drive(ramp(-4.3, 3.0), 40.0, 0.51)
    recorded = drive(np.zeros(80), 10.0, 0.51)
    assert set(discomfort(fast, None, 0.1)) == {"longitudinal acceleration", "lateral acceleration"}
    assert discomfort(fast, recorded, 0.1) == ("longitudinal acceleration",)


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_short_drives_can_be_judged(steps: int) -> None:
    assert broken(drive(np.zeros(steps)), 0.1) == ()


def test_the_bounds_are_those_of_nuplan() -> None:
    assert BOUNDS == {
        "longitudinal acceleration": (-4.05, 2.40),
        "lateral acceleration": (-4.89, 4.89),
        "jerk": (-8.37, 8.37),
        "longitudinal jerk": (-4.13, 4.13),
        "yaw rate": (-0.95, 0.95),
        "yaw acceleration": (-1.93, 1.93),
    }
